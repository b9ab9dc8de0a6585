"""Compiling one graph with the real TensorRT-RTX, which builds without a GPU."""

import dataclasses
import signal
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from sdk.backends.tensorrt.builder import build_engine
from sdk.backends.tensorrt.library import Library
from sdk.bundle import DEFAULT_BUNDLE
from sdk.errors import (
    BundleNotFoundError,
    EngineBuildError,
    EngineFolderError,
    EngineUnsupportedError,
)
from tests.compiling import RELU, SIZES, graph_file
from tests.paths import ROOT
from tests.waiting import run_process

pytest_plugins = ["tests.compiling"]


def test_a_graph_with_open_axes(rtx: Library, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    plan = build_engine(
        graph_file(tmp_path, RELU), rtx, profiles=SIZES, progress=lambda *call: calls.append(call)
    )
    assert len(plan) > 1000
    assert all(0 <= done <= total for _, done, total in calls)
    assert len({phase for phase, _, _ in calls}) > 3
    assert any(done == total for _, done, total in calls)


def test_what_is_built_depends_on_sizes_and_target(rtx: Library, tmp_path: Path) -> None:
    path = graph_file(tmp_path, RELU)
    plans = {
        build_engine(path, rtx, profiles=SIZES),
        build_engine(path, rtx, profiles={"P": (1, 2, 64)}),
        build_engine(path, rtx, profiles=SIZES, compute_capability="7.5"),
    }
    assert len(plans) == 3


def test_weights_beside_the_graph(rtx: Library, tmp_path: Path) -> None:
    text = "g (float[P,8] x) => (float[P,64] y) { y = MatMul (x, weights) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')
    weights = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    path = tmp_path / "graph.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert weights[0].tobytes() in build_engine(path, rtx, profiles=SIZES)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(EngineBuildError, match=r"weights\.bin"):
        build_engine(path, rtx, profiles=SIZES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g (float[P,8] x) => (float[P,8] y) { y = NotAnOp (x) }", r"node 0 .*\(NotAnOp\)"),
        (
            "g (float[P,8] x) => (uint8[P,8] q, float s, uint8 z) "
            "{ q, s, z = DynamicQuantizeLinear (x) }",
            r"\(DynamicQuantizeLinear\)",
        ),
        ("g (string[P] x) => (string[P] y) { y = Identity (x) }", "data type"),
    ],
)
def test_operators_that_tensorrt_does_not_know(
    rtx: Library, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(EngineUnsupportedError, match=message):
        build_engine(graph_file(tmp_path, text), rtx, profiles=SIZES)


def test_a_failed_build_leaves_no_builder_to_the_garbage_collector(
    rtx: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Collected within a call of TensorRT, its release would wait for a lock that the call holds.
    builder, made = rtx.module.Builder, []

    def recorded(logger: Any) -> Any:
        built = builder(logger)
        made.append(weakref.ref(built))
        return built

    monkeypatch.setattr(rtx.module, "Builder", recorded)
    path = graph_file(tmp_path, "g (float[P,8] x) => (float[P,8] y) { y = NotAnOp (x) }")
    with pytest.raises(EngineUnsupportedError) as kept:
        build_engine(path, rtx, profiles=SIZES)
    assert kept.tb is not None and [reference() for reference in made] == [None]


def test_all_unknown_operators_are_named(rtx: Library, tmp_path: Path) -> None:
    text = "g (float[P,8] x) => (float[P,8] z) { y = First (x) z = Second (y) }"
    with pytest.raises(EngineUnsupportedError) as caught:
        build_engine(graph_file(tmp_path, text), rtx, profiles=SIZES)
    assert "(First)" in str(caught.value) and "(Second)" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"garbage" * 1000])
def test_files_that_hold_no_graph(rtx: Library, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(EngineBuildError, match=r"tensorrt-rtx .* cannot build .*graph\.onnx: \S"):
        build_engine(tmp_path / "graph.onnx", rtx, profiles=SIZES)
    with pytest.raises(BundleNotFoundError, match=r"no ONNX graph at .*nowhere\.onnx"):
        build_engine(tmp_path / "nowhere.onnx", rtx, profiles=SIZES)


def test_axes_without_a_size(rtx: Library, tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match=r"axis 0 \('P'\) of input 'x' is open; .*\['N'\]"):
        build_engine(graph_file(tmp_path, RELU), rtx, profiles={"N": (1, 2, 4)})
    with pytest.raises(EngineBuildError, match="refuses the sizes"):
        build_engine(graph_file(tmp_path, RELU), rtx, profiles={"P": (4, 2, 1)})


def test_a_failed_build_says_what_tensorrt_said(rtx: Library, tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match="increase the workspace memory"):
        build_engine(graph_file(tmp_path, RELU), rtx, profiles=SIZES, workspace_bytes=0)
    text = "g (float[P,8] x, float[L,8] y) => (float[P,8] z) { z = Add (x, y) }"
    with pytest.raises(EngineBuildError, match="not compatible for elementwise") as caught:
        build_engine(graph_file(tmp_path, text), rtx, profiles={"P": (2, 2, 4), "L": (3, 8, 9)})
    assert "workspace" not in str(caught.value)  # errors of the build before


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_what_the_callback_raises_stops_the_build(
    rtx: Library, tmp_path: Path, kind: type[BaseException]
) -> None:
    calls = 0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        raise kind

    with pytest.raises(kind):
        build_engine(graph_file(tmp_path, RELU), rtx, profiles=SIZES, progress=progress)
    assert calls == 1
    assert "cancel" in rtx.errors().lower()


def test_ctrl_c_stops_the_build_and_leaves_no_engine(rtx: Library, tmp_path: Path) -> None:
    """A real signal, amid the build. TensorRT swallows it where it builds on the main thread."""
    code = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from sdk.backends.tensorrt.compile import compile_bundle

def progress(phase, done, total):
    if "Optimizing graph" in phase and done == 0:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

bundle = {str(DEFAULT_BUNDLE)!r}
compile_bundle(bundle, library="tensorrt-rtx", folder=sys.argv[1], progress=progress)
"""
    done = run_process([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -signal.SIGINT, done.stderr
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")
def test_the_timing_cache_is_kept_and_a_damaged_one_replaced(rtx: Library, tmp_path: Path) -> None:
    """TensorRT-RTX still has the calls, though they do nothing there."""
    library = dataclasses.replace(rtx, has_timing_cache=True)
    path, file = graph_file(tmp_path, RELU), tmp_path / "timing.cache"
    build_engine(path, library, profiles=SIZES, timing_cache=file)
    kept = file.read_bytes()
    assert kept
    for content in (kept, b"garbage", b""):
        file.write_bytes(content)
        build_engine(path, library, profiles=SIZES, timing_cache=file)
        assert file.read_bytes() == kept
    with pytest.raises(EngineFolderError):
        build_engine(path, library, profiles=SIZES, timing_cache=tmp_path / "no folder" / "file")
    file.unlink()
    build_engine(path, rtx, profiles=SIZES, timing_cache=file)
    assert not file.exists()
