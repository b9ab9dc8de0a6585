"""Compiling a bundle with the real TensorRT-RTX, and finding its engines again."""

import dataclasses
from pathlib import Path

import pytest

from sdk._internal.hashing import sha256_file
from sdk.backends.tensorrt.compile import compile_bundle, engine_for, profiles_for
from sdk.backends.tensorrt.engine import Engine, Refusal
from sdk.backends.tensorrt.library import Library
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.contract import PHRASES_PER_CALL
from sdk.bundle.manifest import GraphFile, Manifest
from sdk.errors import (
    BundleCorruptError,
    DeviceError,
    EngineBuildError,
    EngineCorruptError,
    EngineFolderError,
    EngineMismatchError,
    EngineNotFoundError,
    PrecisionError,
)
from tests.compiling import compiled, graph_file

pytest_plugins = ["tests.compiling"]


@pytest.fixture(scope="module")
def default(rtx: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle, compiled into this folder."""
    folder = tmp_path_factory.mktemp("default") / "engines"
    compile_bundle(DEFAULT_BUNDLE, library="tensorrt-rtx", folder=folder)
    return folder


@pytest.mark.slow
def test_the_default_bundle(default: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in default.iterdir()}
    vision, text, fusion = compile_bundle(DEFAULT_BUNDLE, library="tensorrt-rtx", folder=default)
    assert [g.graph for g in (vision, text, fusion)] == ["vision", "text", "fusion"]
    for result in (vision, fusion):
        assert result.path is not None and result.path.stat().st_size == result.bytes
        assert result.cached and result.seconds > 0 and result.precision == "fp16"
    assert text.path is None and text.cached
    assert text.refused.startswith("node 20 'node_embedding_Q4' (GatherBlockQuantized): ")
    assert "Plugin not found" in text.refused
    assert {path: path.stat().st_mtime_ns for path in default.iterdir()} == before
    assert {path.suffix for path in before} == {".engine", ".json"}


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


def test_a_refusal_names_the_first_node_and_counts_the_others(
    rtx: Library, tiny_bundle: Path
) -> None:
    text = "t (int64[1,L] input_ids) => (float[1,L,8] z) { y = First (input_ids) z = Second (y) }"
    broken = graph_file(tiny_bundle, text)
    file = GraphFile(broken.name, sha256_file(broken), broken.stat().st_size)
    manifest = Manifest.load(tiny_bundle)
    graphs = {**manifest.graphs, "text": {"fp32": file}}
    precisions = {"fp32": manifest.precisions["fp32"]}
    dataclasses.replace(manifest, graphs=graphs, precisions=precisions).save(tiny_bundle)
    refused = compiled(tiny_bundle)["text"].refused
    assert refused.startswith("node 0 '' (First): ") and refused.endswith("; and 1 more")
    assert str(tiny_bundle) not in refused and "\n" not in refused


def test_sizes_come_from_the_manifest(tiny_bundle: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    assert profiles_for("vision", manifest) == {"H": (32, 32, 32), "W": (48, 48, 48)}
    assert profiles_for("text", manifest) == {"L": (2, 8, 24)}
    assert profiles_for("fusion", manifest) == {"P": (1, 1, PHRASES_PER_CALL), "L": (2, 8, 24)}
