"""FP16 in the graph: what becomes FP16, what must not, and that runtimes take it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from export.half import to_half
from export.parity import deviations
from sdk.backends.select import open_session
from sdk.backends.tensorrt.builder import build_engine
from sdk.backends.tensorrt.library import load_library
from sdk.bundle.contract import FUSION, TEXT, VISION
from sdk.errors import BackendError
from tests.tiny_graphs import TinyGraphs, correlation, tiny_graphs

GRAPHS = (VISION.name, TEXT.name, FUSION.name)
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
Arrays = Mapping[str, NDArray[Any]]

# Scores reach 5 x 300 x 300, far above what FP16 holds. The mask is that of transformers' BERT.
ATTENTION = """
g (float[1,4,32] x, int64[1,4] mask) => (float[1,4,32] y)
<float one = {1}, float lowest = {-3.4028235e38}, int64[1] axis = {1}> {
    h = Relu (x)
    q = MatMul (h, wq)
    k = MatMul (h, wk)
    v = MatMul (h, wv)
    kt = Transpose <perm = [0, 2, 1]> (k)
    scores = MatMul (q, kt)
    given = Cast <to = 1> (mask)
    hidden = Sub (one, given)
    low = Mul (hidden, lowest)
    rows = Unsqueeze (low, axis)
    masked = Add (scores, rows)
    weights = Softmax (masked)
    mixed = MatMul (weights, v)
    y = Relu (mixed)
}"""
NORM = """
g (float[2,64] x) => (float[2,64] y) <int64[1] axis = {1}, float two = {2}, float eps = {1e-5}> {
    h = Relu (x)
    mean = ReduceMean (h, axis)
    centred = Sub (h, mean)
    squares = Pow (centred, two)
    variance = ReduceMean (squares, axis)
    above = Add (variance, eps)
    deviation = Sqrt (above)
    z = Div (centred, deviation)
    y = Relu (z)
}"""


def parsed(path: Path, text: str, **weights: NDArray[np.float32]) -> Path:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 20]> {text}')
    arrays = (numpy_helper.from_array(array, name) for name, array in weights.items())
    model.graph.initializer.extend(arrays)
    onnx.save(model, path)
    return path


def halved(source: Path) -> onnx.ModelProto:
    target = source.with_name("half.onnx")
    to_half(source, target)
    return onnx.load(target)


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Tensor -> type, as inferred from the nodes alone."""
    del model.graph.value_info[:]
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {v.name: v.type.tensor_type.elem_type for v in values} | {
        t.name: t.data_type for t in graph.initializer
    }


def reference(model: onnx.ModelProto | Path, feeds: Arrays) -> NDArray[Any]:
    """The first output, computed in exactly the types of the graph."""
    evaluator = ReferenceEvaluator(str(model) if isinstance(model, Path) else model)
    with np.errstate(over="ignore"):
        return np.asarray(evaluator.run(None, dict(feeds))[0])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGraphs:
    return tiny_graphs(tmp_path_factory)


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_exported_graph_stays_near_and_keeps_its_ends(
    graph: str, tiny: TinyGraphs, tmp_path: Path
) -> None:
    source, target = tiny.files[graph], tmp_path / "half.onnx"
    to_half(source, target)
    session, before = open_session(target, "cpu"), open_session(source, "cpu")
    assert (session.inputs, session.outputs) == (before.inputs, before.outputs)
    if graph == "fusion":  # a candidate may give its place to one that scores nearly the same
        for case in tiny.cases_of(graph):
            assert correlation(session.run(case.inputs), case.expected) > 0.99
    else:
        assert max(deviations(session, tiny.cases_of(graph))) < 1e-2
    weights = [t for t in onnx.load(target).graph.initializer if t.data_type in (FLOAT, HALF)]
    values = {kind: 0 for kind in (FLOAT, HALF)}
    for tensor in weights:
        values[tensor.data_type] += int(np.prod(tensor.dims))
    # The tiny fusion is narrow: what stays float is a larger part of it.
    assert values[HALF] > (5 if graph == "fusion" else 10) * values[FLOAT]


@pytest.mark.parametrize("graph", GRAPHS)
def test_tensorrt_takes_it_strongly_typed(graph: str, tiny: TinyGraphs, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    to_half(tiny.files[graph], tmp_path / "half.onnx")
    sizes = {"P": (1, 2, 3), "L": (2, 4, 32), "M": (1, 1, 4)}
    assert build_engine(tmp_path / "half.onnx", load_library("tensorrt-rtx"), profiles=sizes)


def attention(path: Path) -> tuple[Path, Arrays]:
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(size=(32, 32)).astype(np.float32) * scale
        for name, scale in (("wq", 30), ("wk", 30), ("wv", 1))
    }
    feeds = {
        "x": rng.normal(size=(1, 4, 32)).astype(np.float32) * 3,
        "mask": np.array([[1, 1, 1, 0]]),
    }
    return parsed(path, ATTENTION, **weights), feeds


def test_scores_and_softmax_stay_fp32_and_what_is_around_them_does_not(tmp_path: Path) -> None:
    source, _ = attention(tmp_path / "attention.onnx")
    found = types(halved(source))
    for name in ("scores", "low", "masked", "weights"):
        assert found[name] == FLOAT, name
    for name in ("h", "q", "k", "v", "mixed"):
        assert found[name] == HALF, name
    assert {found[name] for name in found if name.startswith(("wq", "wk", "wv"))} == {HALF}


def test_scores_that_fp16_cannot_hold(tmp_path: Path) -> None:
    source, feeds = attention(tmp_path / "attention.onnx")
    inner = onnx.load(source)
    inner.graph.output.insert(0, onnx.helper.make_tensor_value_info("scores", FLOAT, [1, 4, 4]))
    assert np.abs(reference(inner, feeds)).max() > np.finfo(np.float16).max
    half = reference(halved(source), feeds)
    np.testing.assert_allclose(half, reference(source, feeds), atol=0.05)
    assert half.dtype == np.float32


def test_squares_that_fp16_cannot_hold(tmp_path: Path) -> None:
    source = parsed(tmp_path / "norm.onnx", NORM)
    feeds = {"x": np.random.default_rng(0).uniform(0, 4000, (2, 64)).astype(np.float32)}
    half = halved(source)
    np.testing.assert_allclose(reference(half, feeds), reference(source, feeds), atol=0.01)
    found = types(half)
    assert all(found[name] == FLOAT for name in ("centred", "squares", "variance", "above"))


def test_the_layer_that_makes_boxes_stays_fp32(tmp_path: Path) -> None:
    text = """g (float[1,16] x) => (float[1,4] y) {
        h = MatMul (x, wide)
        a = Relu (h)
        raw = MatMul (a, narrow)
        moved = Add (raw, bias)
        y = Sigmoid (moved)
    }"""
    rng = np.random.default_rng(0)
    sizes = {"wide": (16, 32), "narrow": (32, 4), "bias": (4,)}
    weights = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    found = types(halved(parsed(tmp_path / "head.onnx", text, **weights)))
    assert (found["a"], found["raw"], found["moved"]) == (HALF, FLOAT, FLOAT)
    assert (found["narrow"], found["bias"]) == (FLOAT, FLOAT) and "wide" not in found


def test_what_is_above_zero_stays_above_zero(tmp_path: Path) -> None:
    text = """g (float[4] x) => (float[4] y) <float eps = {1e-12}> {
        a = Relu (x)
        b = Add (a, eps)
        c = Div (a, b)
        y = Relu (c)
    }"""
    feeds = {"x": np.array([0, 0, 1, 2], np.float32)}
    half = reference(halved(parsed(tmp_path / "eps.onnx", text)), feeds)
    np.testing.assert_allclose(half, [0, 0, 1, 1])


def test_a_graph_that_cannot_be_converted_is_refused_and_nothing_written(tmp_path: Path) -> None:
    text = """g (float[4] x, bool yes) => (float[4] y) <float[4] w = {1, 2, 3, 4}> {
        a = Relu (x)
        y = If (yes) <
            then_branch = t () => (float[4] b) { b = Add (a, w) },
            else_branch = e () => (float[4] c) { c = Neg (a) }
        >
    }"""
    source = parsed(tmp_path / "if.onnx", text)
    with pytest.raises(BackendError, match=r"half\.onnx"):
        to_half(source, tmp_path / "half.onnx")
    assert list(tmp_path.iterdir()) == [source]
