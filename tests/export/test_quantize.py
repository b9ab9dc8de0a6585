"""INT8: every form runs and stays near, one calibration serves all, and runtimes take them."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, numpy_helper

from export.half import NARROW, PRODUCTS, product_width
from export.quantize import STATIC, Calibrated, Feed, quantize
from sdk.backends.select import open_session
from sdk.backends.tensorrt.builder import build_engine
from sdk.backends.tensorrt.library import load_library
from sdk.bundle.contract import FUSION, TEXT, VISION
from sdk.errors import PrecisionError
from tests.paths import ROOT
from tests.tiny_graphs import TinyGraphs, correlation, tiny_graphs
from tests.waiting import run_process

GRAPHS = (VISION.name, TEXT.name, FUSION.name)
INT8, UINT8, INT32 = TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGraphs:
    return tiny_graphs(tmp_path_factory)


@pytest.fixture(scope="module")
def calibrated(tiny: TinyGraphs) -> dict[str, Calibrated]:
    return {graph: Calibrated(tiny.files[graph], feeds(tiny, graph)) for graph in GRAPHS}


def feeds(tiny: TinyGraphs, graph: str) -> Iterator[Feed]:
    return (case.inputs for case in tiny.cases_of(graph))


def weight_types(path: Path) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize(
    ("graph", "recipe"),
    [
        *((graph, recipe) for graph in (VISION.name, FUSION.name) for recipe in STATIC),
        *((TEXT.name, recipe) for recipe in ("blockwise", "mixed")),
    ],
)
def test_int8_graphs_run_and_stay_near(
    graph: str,
    recipe: str,
    tiny: TinyGraphs,
    calibrated: dict[str, Calibrated],
    tmp_path: Path,
) -> None:
    target = tmp_path / "int8.onnx"
    if recipe in STATIC:
        calibrated[graph].write_within(recipe, target)
    else:
        quantize(recipe, tiny.files[graph], target)
    assert {INT8, UINT8} & set(weight_types(target).values())
    session = open_session(target, "cpu")
    for case in tiny.cases_of(graph):
        assert correlation(session.run(case.inputs), case.expected) > 0.95
    assert list(tmp_path.iterdir()) == [target]


def test_the_layers_that_make_boxes_and_logits_stay_float(
    calibrated: dict[str, Calibrated], tmp_path: Path
) -> None:
    target = tmp_path / "int8.onnx"
    calibrated[FUSION.name].write("static", target)
    graph = onnx.load(target).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in PRODUCTS]
    widths = [product_width(node, weights) for node in products]  # None if its weight is INT8
    assert {1, 2, 6} <= set(widths)  # presence, meant, matched
    assert None in widths and max(width or 0 for width in widths) < NARROW


@pytest.mark.parametrize("graph", GRAPHS)
def test_symmetric_has_no_offset_and_float_biases(
    graph: str, calibrated: dict[str, Calibrated], tmp_path: Path
) -> None:
    target = tmp_path / "int8.onnx"
    calibrated[graph].write("symmetric", target)
    model = onnx.load(target)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    points = [
        values[node.input[2]]
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert points and {point.data_type for point in points} == {INT8}
    assert not any(numpy_helper.to_array(point).any() for point in points)
    assert INT32 not in weight_types(target).values()


@pytest.mark.parametrize(
    ("graph", "recipe"),
    [(VISION.name, "symmetric"), (TEXT.name, "mixed"), (FUSION.name, "mixed")],
)
def test_tensorrt_takes_the_signed_forms(
    graph: str, recipe: str, calibrated: dict[str, Calibrated], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    calibrated[graph].write(recipe, tmp_path / "int8.onnx")
    sizes = {"P": (1, 2, 3), "L": (2, 4, 32), "M": (1, 1, 4)}
    assert build_engine(tmp_path / "int8.onnx", load_library("tensorrt-rtx"), profiles=sizes)


def test_mixed_leaves_little_in_fp32(calibrated: dict[str, Calibrated], tmp_path: Path) -> None:
    calibrated[FUSION.name].write("symmetric", tmp_path / "symmetric.onnx")
    calibrated[FUSION.name].write("mixed", tmp_path / "mixed.onnx")
    before, after = (
        list(weight_types(tmp_path / f"{recipe}.onnx").values())
        for recipe in ("symmetric", "mixed")
    )
    assert HALF not in before and after.count(HALF) > after.count(FLOAT)
    assert after.count(INT8) == before.count(INT8)


def test_one_reading_of_the_feeds_serves_both_static_forms(
    tiny: TinyGraphs, tmp_path: Path
) -> None:
    read = []

    def counted() -> Iterator[Feed]:
        for feed in feeds(tiny, FUSION.name):
            read.append(feed)
            yield feed

    both = Calibrated(tiny.files[FUSION.name], counted())
    assert len(read) == len(tiny.cases_of(FUSION.name))
    both.write("static", tmp_path / "both.onnx")
    both.write("symmetric", tmp_path / "signed.onnx")
    assert len(read) == len(tiny.cases_of(FUSION.name))
    alone = Calibrated(tiny.files[FUSION.name], feeds(tiny, FUSION.name))
    alone.write("symmetric", tmp_path / "alone.onnx")
    assert (tmp_path / "signed.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


# The first channel of `uneven` is a thousand times the others and has no weight in `loud`: with one
# scale for all channels, INT8 rounds away what matters.
UNEVEN = """<ir_version: 8, opset_import: ["": 20]>
g (float[4,16] even, float[4,16] uneven) => (float[4,32] y) {
    a = MatMul (even, calm)
    b = MatMul (uneven, loud)
    y = Concat <axis = 1> (a, b)
}"""


@pytest.fixture
def uneven(tmp_path: Path) -> Calibrated:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(UNEVEN)
    for node, name in zip(model.graph.node, ("calm", "loud", "both"), strict=True):
        node.name = name
    calm, loud = rng.normal(size=(2, 16, 16)).astype(np.float32)
    loud[0] = 0
    arrays = (numpy_helper.from_array(a, n) for a, n in ((calm, "calm"), (loud, "loud")))
    model.graph.initializer.extend(arrays)
    source = tmp_path / "uneven.onnx"
    onnx.save(model, source)

    def feed() -> Feed:
        even, uneven = rng.normal(size=(2, 4, 16)).astype(np.float32)
        uneven[:, 0] *= 1000
        return {"even": even, "uneven": uneven}

    return Calibrated(source, (feed() for _ in range(12)))


@pytest.mark.parametrize("recipe", STATIC)
def test_the_layer_that_loses_most_stays_float(
    recipe: str, uneven: Calibrated, tmp_path: Path
) -> None:
    target = tmp_path / "int8.onnx"
    assert uneven.layers == ["calm", "loud"]
    assert uneven.sensitive_layers(recipe) == ["loud", "calm"]
    assert uneven.error(recipe) > 0.5
    assert uneven.write_within(recipe, target, 0.05) == ["loud"]
    assert uneven.error(recipe, ["loud"]) <= 0.05
    assert weight_types(target)["calm_quantized"] == INT8
    assert "loud_quantized" not in weight_types(target)
    assert uneven.write_within(recipe, target, 1e-6) == ["loud", "calm"]
    assert INT8 not in weight_types(target).values()


def test_nothing_stays_float_without_need(uneven: Calibrated, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    assert uneven.write_within("static", target, 10.0) == []
    assert {"loud_quantized", "calm_quantized"} <= weight_types(target).keys()


ACTIVATIONS = """<ir_version: 8, opset_import: ["": 20]>
g (float[1,8,6,6] image) => (float[1,8,6,6] y) <float zero = {0}, float six = {6}> {
    start = Clip (image, zero, six)
    a = Conv (start, w)
    b = Clip (a, zero, six)
    c = Conv (b, w)
    d = HardSwish (c)
    e = Conv (d, w)
    f = HardSwish (e)
    h = Conv (f, w)
    y = Relu (h)
}"""


def test_convolutions_are_rounded_together_with_what_bounds_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(ACTIVATIONS)
    for node in model.graph.node:
        node.name = node.output[0]
    weight = rng.normal(size=(8, 8, 1, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "fp32.onnx")
    images = ({"image": rng.normal(size=(1, 8, 6, 6)).astype(np.float32)} for _ in range(12))
    calibrated = Calibrated(tmp_path / "fp32.onnx", images)

    def rounded(recipe: str, floats: Sequence[str] = ()) -> set[str]:
        """What is rounded to 8 bits."""
        calibrated.write(recipe, tmp_path / "int8.onnx", floats)
        nodes = onnx.load(tmp_path / "int8.onnx").graph.node
        return {n.input[0] for n in nodes if n.op_type == "QuantizeLinear"} & set("abcdefhy")

    def largest(recipe: str) -> int:
        """The largest weight."""
        calibrated.write(recipe, tmp_path / "int8.onnx")
        values = onnx.load(tmp_path / "int8.onnx").graph.initializer
        (weights,) = (numpy_helper.to_array(v) for v in values if v.name == "w_quantized")
        return int(np.abs(weights.astype(int)).max())

    assert rounded("static") == {"b", "c", "f"}, "a is bounded by b, h reads f; nothing bounds e"
    assert rounded("static", ["a", "c"]) == {"f"}, "b stays as float as a"
    assert calibrated.error("static") < 0.05
    assert largest("static") == 64, "two products of it and a byte fit in 16 bits"
    assert largest("symmetric") == 127
    assert {"d", "f"} <= rounded("symmetric"), "TensorRT rounds all of them"


def test_what_cannot_be_made_is_refused(tiny: TinyGraphs, tmp_path: Path) -> None:
    source, target = tiny.files[VISION.name], tmp_path / "int8.onnx"
    for recipe in ("int4", "static"):
        with pytest.raises(PrecisionError, match=f"'blockwise'.* got '{recipe}'"):
            quantize(recipe, source, target)
    with pytest.raises(PrecisionError, match="real inputs"):
        Calibrated(source, [])
    assert not list(tmp_path.iterdir())


def test_embeddings_have_four_bits_and_products_eight(tiny: TinyGraphs, tmp_path: Path) -> None:
    quantize("blockwise", tiny.files[TEXT.name], tmp_path / "int8.onnx")
    bits = {
        node.op_type: next((a.i for a in node.attribute if a.name == "bits"), 4)  # by default
        for node in onnx.load(tmp_path / "int8.onnx").graph.node
        if node.op_type in ("GatherBlockQuantized", "MatMulNBits")
    }
    assert bits == {"GatherBlockQuantized": 4, "MatMulNBits": 8}


LOGGING = """
import logging, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from export.quantize import quantize
quantize("blockwise", Path({source!r}), Path({target!r}))
assert "onnxruntime.quantization.matmul_nbits_quantizer" in sys.modules
assert (logging.root.handlers, logging.root.level) == ([], logging.WARNING)
"""


def test_the_root_logger_is_left_alone(tiny: TinyGraphs, tmp_path: Path) -> None:
    source, target = str(tiny.files[TEXT.name]), str(tmp_path / "int8.onnx")
    code = LOGGING.format(root=str(ROOT), source=source, target=target)
    done = run_process([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
