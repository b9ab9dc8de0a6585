"""Running compiled engines, where there is a GPU; what is said where there is none."""

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk._internal.hashing import sha256_file
from sdk.backends.ort import OrtSession
from sdk.backends.tensorrt import library as libraries
from sdk.backends.tensorrt.compile import compile_bundle, engine_for
from sdk.backends.tensorrt.engine import Engine
from sdk.backends.tensorrt.gpu import GRAPHS_KEPT
from sdk.backends.tensorrt.library import Library, cuda_device, load_library
from sdk.backends.tensorrt.session import TensorRTSession, open_engines
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.contract import PHRASES_PER_CALL
from sdk.bundle.manifest import GraphFile, Manifest
from sdk.errors import BackendError, DependencyError, DeviceError, EngineUnsupportedError
from tests.compiling import RTX_3060, compiled, graph_file

pytest_plugins = ["tests.compiling"]

needs_no_gpu = pytest.mark.skipif(cuda_device() is not None, reason="there is a GPU here")


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.gpu) for name in ("tensorrt", "tensorrt-rtx")]
)
def library(request: pytest.FixtureRequest) -> Library:
    """Each one that can run engines here."""
    device = cuda_device()
    if device is None:
        pytest.skip("no GPU that CUDA can use")
    try:
        library = load_library(request.param)
    except DependencyError as error:
        pytest.skip(str(error))
    if library.is_rtx and device.compute_capability not in ("7.5", "8.0", "8.6", "8.9", "12.0"):
        pytest.skip(f"TensorRT-RTX does not run on {device}")
    return library


def tiny_engine(library: Library, bundle: Path) -> Engine:
    compile_bundle(bundle, library=library.name)
    found = engine_for(bundle, Manifest.load(bundle), "fusion", "fp32", library)
    assert isinstance(found, Engine)
    return found


@needs_no_gpu
def test_running_needs_a_gpu(
    rtx: Library, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.load(tiny_bundle)
    with pytest.raises(DeviceError, match="an engine runs on an NVIDIA GPU; found no"):
        open_engines(tiny_bundle, manifest, "fp32", "tensorrt-rtx")
    with monkeypatch.context() as patch:
        patch.setattr(libraries, "cuda_device", lambda: RTX_3060)
        engine = tiny_engine(rtx, tiny_bundle)
        with pytest.raises(BackendError, match=r"does not load .*\.engine: .*cudaError"):
            TensorRTSession(engine, rtx)
    with pytest.raises(DeviceError, match="found none"):
        TensorRTSession(engine, rtx)


@pytest.mark.usefixtures("on_rtx_3060")
def test_a_graph_of_every_frame_does_not_run_elsewhere_in_silence(
    rtx: Library, tiny_bundle: Path
) -> None:
    manifest = Manifest.load(tiny_bundle)
    broken = graph_file(
        tiny_bundle, "g (float[1,3,32,48] image) => (float[1,24,8] v) { v = X (image) }"
    )
    file = GraphFile(broken.name, sha256_file(broken), broken.stat().st_size)
    graphs = {**manifest.graphs, "vision": {"fp32": file}}
    manifest = dataclasses.replace(manifest, graphs=graphs)
    manifest.save(tiny_bundle)
    assert "(X)" in compiled(tiny_bundle)["vision"].refused
    with pytest.raises(EngineUnsupportedError, match=r"does not take the vision graph .*\(X\)"):
        open_engines(tiny_bundle, manifest, "fp32", rtx.name)


def question(phrases: int, tokens: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "visual_tokens": rng.normal(size=(1, 24, 8)).astype(np.float32),
        "text_tokens": rng.normal(size=(phrases, tokens, 8)).astype(np.float32),
        "attention_mask": np.ones((phrases, tokens), np.int64),
    }


def assert_close(got: Mapping[str, NDArray[Any]], want: Mapping[str, NDArray[Any]]) -> None:
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].dtype == value.dtype
        np.testing.assert_allclose(got[name], value, atol=5e-3)


def test_an_engine_answers_as_onnx_runtime_does(library: Library, tiny_bundle: Path) -> None:
    session = TensorRTSession(tiny_engine(library, tiny_bundle), library)
    reference = OrtSession(tiny_bundle / "fusion.onnx", "cpu", 1)
    assert session.device == library.name
    assert {spec.name: spec.dtype for spec in (*session.inputs, *session.outputs)} == {
        spec.name: spec.dtype for spec in (*reference.inputs, *reference.outputs)
    }
    first = session.run(question(1, 5))
    kept = {name: value.copy() for name, value in first.items()}
    shapes = [(1, 5), (1, 5), (2, 5), (1, 5), (16, 24), (2, 5), (1, 7)]  # new and seen ones
    shapes += [(1, tokens) for tokens in range(2, 3 + GRAPHS_KEPT)] + [(1, 2)]  # and forgotten
    for seed, (phrases, tokens) in enumerate(shapes):
        inputs = question(phrases, tokens, seed)
        assert_close(session.run(inputs), reference.run(inputs))
    assert_close(first, kept)  # what was returned is the caller's

    def ask(seed: int) -> None:
        inputs = question(1 + seed % 4, 6, seed)
        assert_close(session.run(inputs), reference.run(inputs))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(40)))
    for bad in (
        {},
        question(PHRASES_PER_CALL + 1, 5),
        question(1, 25),
        {**question(1, 5), "x": kept},
    ):
        with pytest.raises(BackendError, match="expected"):
            session.run(bad)


def test_the_default_bundle_runs(library: Library, tmp_path: Path) -> None:
    compile_bundle(DEFAULT_BUNDLE, library=library.name, folder=tmp_path)
    manifest = Manifest.load(DEFAULT_BUNDLE)
    sessions = open_engines(DEFAULT_BUNDLE, manifest, "fp32", library.name, engines=tmp_path)
    devices = {graph: session.device for graph, session in sessions.items()}
    assert devices["vision"] == devices["fusion"] == library.name
    assert devices["text"] in ("cpu", "cuda")
    image = {"image": np.random.default_rng(0).normal(size=(1, 3, 320, 320)).astype(np.float32)}
    got = sessions["vision"].run(image)["visual_tokens"]
    want = OrtSession(DEFAULT_BUNDLE / "vision.fp32.onnx", "cpu").run(image)["visual_tokens"]
    cosine = np.sum(got * want) / np.linalg.norm(got) / np.linalg.norm(want)
    assert cosine > 0.9999
