from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from sdk.backends import ort
from sdk.backends.select import open_session
from sdk.errors import (
    BackendError,
    BundleCorruptError,
    BundleError,
    BundleNotFoundError,
    DeviceError,
)
from tests.faults.bundles import endless

TEXT_INPUTS = {
    "input_ids": np.array([[2, 9, 3]], np.int64),
    "attention_mask": np.ones((1, 3), np.int64),
}


def test_a_session_tells_its_tensors_and_runs(tiny_bundle: Path) -> None:
    session = open_session(tiny_bundle / "text.onnx", "cpu", threads=1)
    assert session.device == "cpu"
    assert {tensor.name for tensor in session.inputs} == TEXT_INPUTS.keys()
    assert [(t.name, t.dtype, t.shape) for t in session.outputs] == [
        ("text_tokens", "float32", (1, "L", 8))
    ]
    outputs = session.run(TEXT_INPUTS)
    assert {name: value.shape for name, value in outputs.items()} == {"text_tokens": (1, 3, 8)}


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {**TEXT_INPUTS, "colour": np.zeros(1)},
        {**TEXT_INPUTS, "input_ids": np.array([[2.0, 9.0, 3.0]], np.float32)},
        {**TEXT_INPUTS, "input_ids": np.array([2, 9, 3], np.int64)},
        {**TEXT_INPUTS, "input_ids": np.array([[2, 10**6, 3]], np.int64)},
    ],
)
def test_a_failing_run_is_a_backend_error(tiny_bundle: Path, inputs: dict[str, Any]) -> None:
    session = open_session(tiny_bundle / "text.onnx", "cpu", threads=1)
    with pytest.raises(BackendError, match=r"text\.onnx"):
        session.run(inputs)


def test_graphs_that_do_not_load(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"nowhere\.onnx"):
        open_session(tmp_path / "nowhere.onnx", "cpu")
    (tmp_path / "garbage.onnx").write_bytes(b"garbage")
    with pytest.raises(BundleCorruptError, match="not a valid ONNX graph"):
        open_session(tmp_path / "garbage.onnx", "cpu")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 9999]> g (float[1] x) => (float[1] y) { y = Abs (x) }'
    )
    onnx.save(model, tmp_path / "future.onnx")
    with pytest.raises(BackendError, match="--upgrade onnxruntime"):
        open_session(tmp_path / "future.onnx", "cpu")


ORT_EXCEPTIONS = [
    kind
    for kind in map(ort_state.__dict__.get, dir(ort_state))
    if isinstance(kind, type) and issubclass(kind, BaseException)
]


def test_the_list_of_exceptions_is_not_empty() -> None:
    assert {"InvalidProtobuf", "EPFail"} <= {kind.__name__ for kind in ORT_EXCEPTIONS}


@pytest.mark.parametrize("kind", ORT_EXCEPTIONS)
def test_every_exception_of_onnxruntime_is_mapped(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise kind("something broke")

    session = open_session(tiny_bundle / "text.onnx", "cpu", threads=1)
    monkeypatch.setattr(ort.onnxruntime.InferenceSession, "run", fail)
    with pytest.raises(BackendError, match="something broke"):
        session.run(TEXT_INPUTS)
    monkeypatch.setattr(ort.onnxruntime, "InferenceSession", fail)
    with pytest.raises((BundleError, BackendError)):
        open_session(tiny_bundle / "text.onnx", "cpu")


@pytest.mark.parametrize("device", ["gpu", "", "CPU", "cuda:0", None])
def test_an_unknown_device(tiny_bundle: Path, device: Any) -> None:
    with pytest.raises(DeviceError, match=r"\['auto', 'cpu', 'cuda', .*\], got"):
        open_session(tiny_bundle / "text.onnx", device)


@pytest.mark.parametrize(
    ("device", "build"),
    [
        ("cuda", "onnxruntime-gpu"),
        ("ort-tensorrt", "onnxruntime-gpu"),
        ("directml", "onnxruntime-directml"),
        ("ort-openvino", "onnxruntime-openvino"),
    ],
)
def test_a_device_the_runtime_lacks(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, device: str, build: str
) -> None:
    monkeypatch.setattr(
        ort.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"]
    )
    with pytest.raises(DeviceError, match=f"pip install {build}"):
        open_session(tiny_bundle / "text.onnx", device)
    assert open_session(tiny_bundle / "text.onnx", "auto").device == "cpu"


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_silent_fallback_is_not_silent(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU build without its CUDA libraries lists CUDA and then quietly runs on the CPU.

    The CPU build drops providers it does not have in the same way.
    """
    claimed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort.onnxruntime, "get_available_providers", lambda: claimed)
    with pytest.raises(DeviceError, match="does not start here"):
        open_session(tiny_bundle / "text.onnx", "cuda")
    with pytest.warns(RuntimeWarning, match="Going on with CPUExecutionProvider"):
        assert open_session(tiny_bundle / "text.onnx", "auto").device == "cpu"


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_bad_thread_counts(tiny_bundle: Path, threads: Any) -> None:
    with pytest.raises(DeviceError, match=f"threads: expected a whole number .*, got {threads!r}"):
        open_session(tiny_bundle / "text.onnx", "cpu", threads)


def test_physical_cores() -> None:
    assert 1 <= ort.physical_cores() <= (ort.os.cpu_count() or 1)


def test_a_graph_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = helper.make_tensor_value_info("still", TensorProto.FLOAT, [1])
    graph = helper.make_graph(endless(), "endless", [], [end])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "endless.onnx")
    monkeypatch.setattr(ort, "FIRST_RUN_SECONDS", 0.5)
    session = open_session(tmp_path / "endless.onnx", "cpu")
    with pytest.raises(BackendError, match="failed on"):
        session.run({})
