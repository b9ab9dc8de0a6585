"""Compiling with the real TensorRT-RTX, which builds without a GPU; running, where there is one."""

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

import sdk
from sdk.backends.ort import OrtSession
from sdk.backends.tensorrt import GRAPHS_KEPT, TensorRTSession, open_engines
from sdk.compile import CompiledGraph, compile_bundle, engine_for, profiles_for
from sdk.contract import PHRASES_PER_CALL
from sdk.engines import library as libraries
from sdk.engines.builder import Sizes, build_engine
from sdk.engines.cache import Engine, Refusal
from sdk.engines.library import Device, Library, Target, cuda_device, load_library
from sdk.errors import (
    BackendError,
    BundleCorruptError,
    BundleNotFoundError,
    DependencyError,
    DeviceError,
    EngineBuildError,
    EngineCorruptError,
    EngineFolderError,
    EngineMismatchError,
    EngineNotFoundError,
    EngineUnsupportedError,
    PrecisionError,
)
from sdk.grounder import DEFAULT_BUNDLE
from sdk.manifest import GraphFile, Manifest, sha256_file

ROOT = Path(sdk.__file__).parents[1]
RTX_3060 = Device("RTX 3060", "8.6", 28)
SIZES: Mapping[str, Sizes] = {"P": (1, 2, 4)}
RELU = "g (float[P,8] x) => (float[P,8] y) { y = Relu (x) }"

needs_no_gpu = pytest.mark.skipif(cuda_device() is not None, reason="there is a GPU here")


@pytest.fixture(scope="module")
def rtx() -> Library:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    return load_library("tensorrt-rtx")


def graph(folder: Path, text: str) -> Path:
    path = folder / "graph.onnx"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}'), path)
    return path


# Building one graph.


def test_a_graph_with_open_axes(rtx: Library, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    plan = build_engine(
        graph(tmp_path, RELU), rtx, profiles=SIZES, progress=lambda *call: calls.append(call)
    )
    assert len(plan) > 1000
    assert all(0 <= done <= total for _, done, total in calls)
    assert len({phase for phase, _, _ in calls}) > 3
    assert any(done == total for _, done, total in calls)


def test_what_is_built_depends_on_sizes_and_target(rtx: Library, tmp_path: Path) -> None:
    path = graph(tmp_path, RELU)
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
        build_engine(graph(tmp_path, text), rtx, profiles=SIZES)


def test_all_unknown_operators_are_named(rtx: Library, tmp_path: Path) -> None:
    text = "g (float[P,8] x) => (float[P,8] z) { y = First (x) z = Second (y) }"
    with pytest.raises(EngineUnsupportedError) as caught:
        build_engine(graph(tmp_path, text), rtx, profiles=SIZES)
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
        build_engine(graph(tmp_path, RELU), rtx, profiles={"N": (1, 2, 4)})
    with pytest.raises(EngineBuildError, match="refuses the sizes"):
        build_engine(graph(tmp_path, RELU), rtx, profiles={"P": (4, 2, 1)})


def test_a_failed_build_says_what_tensorrt_said(rtx: Library, tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match="increase the workspace memory"):
        build_engine(graph(tmp_path, RELU), rtx, profiles=SIZES, workspace_bytes=0)
    text = "g (float[P,8] x, float[L,8] y) => (float[P,8] z) { z = Add (x, y) }"
    with pytest.raises(EngineBuildError, match="not compatible for elementwise") as caught:
        build_engine(graph(tmp_path, text), rtx, profiles={"P": (2, 2, 4), "L": (3, 8, 9)})
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
        build_engine(graph(tmp_path, RELU), rtx, profiles=SIZES, progress=progress)
    assert calls == 1
    assert "cancel" in rtx.errors().lower()


def test_ctrl_c_stops_the_build_and_leaves_no_engine(rtx: Library, tmp_path: Path) -> None:
    """A real signal, amid the build. TensorRT swallows it where it builds on the main thread."""
    code = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from sdk.compile import compile_bundle

def progress(phase, done, total):
    if "Optimizing graph" in phase and done == 0:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

bundle = {str(DEFAULT_BUNDLE)!r}
compile_bundle(bundle, library="tensorrt-rtx", folder=sys.argv[1], progress=progress)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGINT, done.stderr
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")
def test_the_timing_cache_is_kept_and_a_damaged_one_replaced(rtx: Library, tmp_path: Path) -> None:
    """TensorRT-RTX still has the calls, though they do nothing there."""
    library = dataclasses.replace(rtx, has_timing_cache=True)
    path, file = graph(tmp_path, RELU), tmp_path / "timing.cache"
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


# Compiling a bundle.


@pytest.fixture(scope="module")
def default(rtx: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle, compiled into this folder."""
    folder = tmp_path_factory.mktemp("default") / "engines"
    compile_bundle(DEFAULT_BUNDLE, library="tensorrt-rtx", folder=folder)
    return folder


def test_the_default_bundle(default: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in default.iterdir()}
    vision, text, fusion = compile_bundle(DEFAULT_BUNDLE, library="tensorrt-rtx", folder=default)
    assert [g.graph for g in (vision, text, fusion)] == ["vision", "text", "fusion"]
    for compiled in (vision, fusion):
        assert compiled.path is not None and compiled.path.stat().st_size == compiled.bytes
        assert compiled.cached and compiled.seconds > 0 and compiled.precision == "fp16"
    assert text.path is None and text.cached and "node 5" in text.refused
    assert {path: path.stat().st_mtime_ns for path in default.iterdir()} == before
    assert {path.suffix for path in before} == {".engine", ".json"}


@pytest.fixture
def on_rtx_3060(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if that card were in this machine, for what does not run anything on it."""
    monkeypatch.setattr(libraries, "cuda_device", lambda: RTX_3060)


@pytest.mark.usefixtures("on_rtx_3060")
def test_the_engines_of_the_default_bundle_are_found(rtx: Library, default: Path) -> None:
    manifest = Manifest.load(DEFAULT_BUNDLE)
    found = {
        graph: engine_for(DEFAULT_BUNDLE, manifest, graph, "fp16", rtx, default)
        for graph in manifest.graphs
    }
    assert isinstance(found["text"], Refusal)
    for graph in ("vision", "fusion"):
        engine = found[graph]
        assert isinstance(engine, Engine) and engine.key.version == rtx.version
        assert engine.plan == engine.path.read_bytes()


def compiled(bundle: Path, **options: Any) -> dict[str, CompiledGraph]:
    results = compile_bundle(bundle, library="tensorrt-rtx", **options)
    return {result.graph: result for result in results}


@pytest.mark.usefixtures("on_rtx_3060")
def test_every_graph_compiles_beside_the_bundle(rtx: Library, tiny_bundle: Path) -> None:
    phases: set[str] = set()
    first = compiled(tiny_bundle, progress=lambda phase, done, total: phases.add(phase))
    assert {phase.split(":")[0] for phase in phases} == {"vision", "text", "fusion"}
    manifest = Manifest.load(tiny_bundle)
    manifest.verify(tiny_bundle)
    for graph, result in first.items():
        assert not result.cached and result.refused == ""
        assert result.path is not None and result.path.parent == tiny_bundle / "engines"
        engine = engine_for(tiny_bundle, manifest, graph, "fp32", rtx)
        assert isinstance(engine, Engine) and engine.path == result.path
    int8 = compiled(tiny_bundle, precision="int8")
    assert {graph: result.cached for graph, result in int8.items()} == {
        "vision": True,
        "text": False,
        "fusion": True,
    }
    assert int8["text"].precision == "int8" and int8["text"].path != first["text"].path


@pytest.mark.usefixtures("on_rtx_3060")
def test_an_engine_for_the_very_card_comes_first(rtx: Library, tiny_bundle: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    for capability in ("8.9", None, "8.6"):
        compiled(tiny_bundle, compute_capability=capability)
        if capability == "8.9":
            with pytest.raises(EngineMismatchError, match=r"built for 8\.9, here 8\.6"):
                engine_for(tiny_bundle, manifest, "fusion", "fp32", rtx)
        else:
            found = engine_for(tiny_bundle, manifest, "fusion", "fp32", rtx)
            assert found.key.compute_capability == (capability or "any")


@pytest.mark.usefixtures("on_rtx_3060")
def test_engines_of_another_version_or_model_are_refused(
    rtx: Library, tiny_bundle: Path, tmp_path: Path
) -> None:
    manifest = Manifest.load(tiny_bundle)
    with pytest.raises(EngineNotFoundError, match="build the engine: grounder compile"):
        engine_for(tiny_bundle, manifest, "vision", "fp32", rtx)
    vision = compiled(tiny_bundle)["vision"].path
    newer = dataclasses.replace(rtx, version="9.9")
    with pytest.raises(EngineMismatchError, match=rf"built for {rtx.version}, here 9\.9; build an"):
        engine_for(tiny_bundle, manifest, "vision", "fp32", newer)
    with pytest.raises(EngineMismatchError, match=r"range of sizes: .*here \{'P'.*\(2, 8, 32\)"):
        longer = dataclasses.replace(manifest.tokenizer, max_tokens=32)
        engine_for(
            tiny_bundle, dataclasses.replace(manifest, tokenizer=longer), "fusion", "fp32", rtx
        )
    with pytest.raises(EngineNotFoundError):
        engine_for(tiny_bundle, manifest, "vision", "fp32", rtx, tmp_path / "elsewhere")
    assert vision is not None
    vision.write_bytes(vision.read_bytes()[:-1])
    with pytest.raises(EngineCorruptError, match="damaged"):
        engine_for(tiny_bundle, manifest, "vision", "fp32", rtx)
    assert [g for g, result in compiled(tiny_bundle).items() if not result.cached] == ["vision"]
    assert isinstance(engine_for(tiny_bundle, manifest, "vision", "fp32", rtx), Engine)


def test_what_compiling_refuses(rtx: Library, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options, kind, message in (
        ({"precision": "fp16"}, PrecisionError, "got 'fp16'"),
        ({"compute_capability": "8.7"}, DeviceError, r"one TensorRT-RTX .* builds for, \['7\.5'"),
        ({"compute_capability": "86"}, DeviceError, "got '86'"),
        ({"version_compatible": True}, EngineBuildError, "need tensorrt, got tensorrt-rtx"),
        ({"folder": tmp_path / "file"}, EngineFolderError, "--engines"),
    ):
        with pytest.raises(kind, match=message):
            compiled(tiny_bundle, **options)
    (tiny_bundle / "fusion.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleCorruptError, match=r"fusion\.onnx"):
        compiled(tiny_bundle)
    assert not (tiny_bundle / "engines").exists()


def test_sizes_come_from_the_manifest(tiny_bundle: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    assert profiles_for("vision", manifest) == {"H": (32, 32, 32), "W": (48, 48, 48)}
    assert profiles_for("text", manifest) == {"L": (2, 8, 24)}
    assert profiles_for("fusion", manifest) == {"P": (1, 1, PHRASES_PER_CALL), "L": (2, 8, 24)}


# Which library.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise ImportError('libnvinfer.so.10: cannot open')", "libnvinfer.so.10.*python3-libnv"),
        ("raise FileNotFoundError('Could not find: nvinfer_10.dll')", "nvinfer_10.dll.*JetPack"),
        ("__version__ = '8.6.1'", r"expected tensorrt 10 or newer, got 8\.6\.1\. Fix: pip"),
        ("", "got unknown"),
    ],
)
def test_a_tensorrt_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(content)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tensorrt", None):  # the first choice is not passed over
        with pytest.raises(DependencyError, match=message):
            load_library(name)
    sys.modules.pop("tensorrt", None)


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    libraries._load.cache_clear()
    with pytest.raises(DependencyError, match=r"does not import: .*pip install tensorrt-rtx"):
        load_library("tensorrt-rtx")
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="neither tensorrt nor tensorrt-rtx is installed"):
        load_library()
    with pytest.raises(DeviceError, match=r"one of \['tensorrt', 'tensorrt-rtx'\], got 'trt'"):
        load_library("trt")


def test_targets(rtx: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of TensorRT is for the device at hand, one of TensorRT-RTX for a kind of device."""
    tensorrt = dataclasses.replace(rtx, name="tensorrt")
    monkeypatch.setattr(libraries, "cuda_device", lambda: None)
    assert rtx.target() == Target("any", "any", "any")
    assert rtx.target("8.9") == Target("any", "any", "8.9")
    for call in (tensorrt.target, tensorrt.runnable_targets, rtx.runnable_targets):
        with pytest.raises(DeviceError, match="found no GPU"):
            call()
    monkeypatch.setattr(libraries, "cuda_device", lambda: Device("Orin", "8.7", 8))
    (target,) = tensorrt.runnable_targets()
    assert target == tensorrt.target("8.7")
    assert (target.device, target.compute_capability) == ("Orin, 8 SMs", "8.7")
    assert target.platform.startswith(sys.platform)
    assert rtx.runnable_targets() == [Target("any", "any", "8.7"), Target("any", "any", "any")]
    with pytest.raises(DeviceError, match=r"expected 8\.7, that of Orin, 8 SMs, got 8\.6"):
        tensorrt.target("8.6")


# Running.


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
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
    broken = graph(tiny_bundle, "g (float[1,3,32,48] image) => (float[1,24,8] v) { v = X (image) }")
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
