"""What tests of compiled engines share: TensorRT-RTX, which builds without a GPU, and graphs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from sdk.backends.tensorrt import library as libraries
from sdk.backends.tensorrt.builder import Sizes
from sdk.backends.tensorrt.compile import CompiledGraph, compile_bundle
from sdk.backends.tensorrt.library import Device, Library, load_library

RTX_3060 = Device("RTX 3060", "8.6", 28)
SIZES: Mapping[str, Sizes] = {"P": (1, 2, 4)}
RELU = "g (float[P,8] x) => (float[P,8] y) { y = Relu (x) }"


@pytest.fixture(scope="module")
def rtx() -> Library:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    return load_library("tensorrt-rtx")


@pytest.fixture
def on_rtx_3060(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if that card were in this machine, for what does not run anything on it."""
    monkeypatch.setattr(libraries, "cuda_device", lambda: RTX_3060)


def graph_file(folder: Path, text: str) -> Path:
    path = folder / "graph.onnx"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}'), path)
    return path


def compiled(bundle: Path, **options: Any) -> dict[str, CompiledGraph]:
    results = compile_bundle(bundle, library="tensorrt-rtx", **options)
    return {result.graph: result for result in results}
