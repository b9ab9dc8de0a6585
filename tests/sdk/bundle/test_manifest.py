import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk._internal.hashing import sha256_file
from sdk.bundle.calibration import Calibration
from sdk.bundle.manifest import Manifest
from sdk.errors import (
    BundleCorruptError,
    BundleMismatchError,
    BundleNotFoundError,
    PrecisionError,
)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_save_and_load_give_the_same_manifest(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    manifest.save(tmp_path)
    assert Manifest.load(tmp_path) == manifest
    assert manifest.graphs["vision"]["fp32"].file == "vision.onnx"


def test_save_replaces_and_leaves_nothing_else(tiny_bundle: Path) -> None:
    before = {path.name for path in tiny_bundle.iterdir()}
    Manifest.load(tiny_bundle).save(tiny_bundle)
    assert {path.name for path in tiny_bundle.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("threshold"), "threshold: this key is missing"),
        (lambda m: m.pop("schema_version"), "schema_version: expected int, got None"),
        (lambda m: m.update(schema_version="1"), "schema_version: expected int, got '1'"),
        (lambda m: m.update(colour="red"), "colour: unknown key"),
        (lambda m: m.update(name=3), "name: expected str, got 3"),
        (lambda m: m["calibration"].update(scale=-0.0), "calibration.scale: expected above 0"),
        (lambda m: m.update(threshold=1.5), r"threshold: expected a number in \[0, 1\]"),
        (lambda m: m.update(threshold=True), "threshold: expected a finite number, got True"),
        (lambda m: m.update(threshold=math.nan), "threshold: expected a finite number, got nan"),
        (lambda m: m.update(metrics={"a": math.nan}), ".*not JSON compliant"),
        (lambda m: m.update(name="\ud800"), ".*surrogates not allowed"),
        (lambda m: m.update(graphs=[]), r"graphs: expected an object, got \[\]"),
        (lambda m: m["graphs"].pop("text"), r"graphs: expected \['fusion', 'text', 'vision'\]"),
        (lambda m: m["preprocess"].pop("mean"), "preprocess.mean: this key is missing"),
        (lambda m: m["preprocess"].update(std=[0, 1, 1]), "preprocess.std: expected positive"),
        (lambda m: m["tokenizer"].update(max_tokens=2), "tokenizer.max_tokens: expected at least"),
        (lambda m: m["files"].clear(), "files: expected 'vocab.txt' among them"),
        (lambda m: m["files"].update({"vocab.txt": "no"}), "files.vocab.txt: expected a sha256"),
        (lambda m: m["calibration"].update(scale="1"), "calibration.scale: expected a finite"),
        (
            lambda m: m["files"].update({"text.onnx": "0" * 64}),
            "text.onnx: expected one sha256, got several",
        ),
        (lambda m: m["precisions"].pop("fp32"), r"default_precision: expected one of \['int8'\]"),
        (
            lambda m: m["precisions"]["int8"].update(vision="int8"),
            r"precisions.int8.vision: expected one of \['fp32'\], got 'int8'",
        ),
        (lambda m: m["precisions"]["int8"].pop("text"), "precisions.int8: expected"),
        (
            lambda m: m["graphs"]["text"]["int8"].update(bytes=1.0),
            "graphs.text.int8.bytes: expected int, got 1.0",
        ),
    ],
)
def test_a_bad_key_is_named(
    tiny_bundle: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(tiny_bundle, change)
    with pytest.raises(BundleCorruptError, match=rf"manifest\.json: {message}"):
        Manifest.load(tiny_bundle)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "..", "", "C:evil", "a\\b", "a\0b"]
)
def test_file_names_stay_inside_the_folder(tiny_bundle: Path, name: str) -> None:
    edit(tiny_bundle, lambda m: m["graphs"]["vision"]["fp32"].update(file=name))
    with pytest.raises(BundleCorruptError, match=r"vision\.fp32\.file: expected a name inside"):
        Manifest.load(tiny_bundle)


@pytest.mark.parametrize(("version", "advice"), [(2, "upgrade grounder"), (0, "export")])
def test_another_schema_version(tiny_bundle: Path, version: int, advice: str) -> None:
    edit(tiny_bundle, lambda m: m.update(schema_version=version))
    with pytest.raises(BundleMismatchError, match=rf"schema 1, got {version} .*{advice}"):
        Manifest.load(tiny_bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_a_damaged_manifest(tiny_bundle: Path, content: bytes) -> None:
    (tiny_bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleCorruptError):
        Manifest.load(tiny_bundle)


def test_no_manifest(tiny_bundle: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere", tiny_bundle / "vocab.txt"):
        with pytest.raises(BundleNotFoundError, match="expected a bundle folder"):
            Manifest.load(folder)


def test_verify_accepts_an_intact_bundle(tiny_bundle: Path) -> None:
    Manifest.load(tiny_bundle).verify(tiny_bundle)


@pytest.mark.parametrize(
    "name", ["vision.onnx", "text.onnx", "text.int8.onnx", "fusion.onnx", "vocab.txt"]
)
def test_verify_notices_every_file(tiny_bundle: Path, name: str) -> None:
    manifest = Manifest.load(tiny_bundle)
    path = tiny_bundle / name
    content = path.read_bytes()

    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleCorruptError, match=rf"{name} to have sha256"):
        manifest.verify(tiny_bundle)
    path.write_bytes(content[:-1])
    expected = "sha256" if name == "vocab.txt" else f"{len(content)} bytes, got {len(content) - 1}"
    with pytest.raises(BundleCorruptError, match=rf"{name} to have {expected}"):
        manifest.verify(tiny_bundle)
    path.unlink()
    with pytest.raises(BundleNotFoundError, match=name):
        manifest.verify(tiny_bundle)


def test_verify_only_what_is_needed(tiny_bundle: Path) -> None:
    (tiny_bundle / "text.int8.onnx").unlink()
    Manifest.load(tiny_bundle).verify(tiny_bundle, ["vision.onnx", "vocab.txt"])


def test_precisions(tiny_bundle: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    assert manifest.graph_files("int8")["text"].file == "text.int8.onnx"
    assert manifest.graph_files("int8")["vision"].file == "vision.onnx"
    assert manifest.graph_files("auto") == manifest.graph_files("fp32")
    assert manifest.resolve_precision("auto", "tensorrt")[0] == "fp32"
    half = replace(
        manifest, precisions={**manifest.precisions, "fp16": manifest.precisions["fp32"]}
    )
    for device in ("cuda", "tensorrt", "tensorrt-rtx"):
        assert half.resolve_precision("auto", device) == ("fp16", "an NVIDIA GPU was asked for")
        assert half.resolve_precision("int8", device) == ("int8", "asked for")
    assert half.resolve_precision("auto", "cpu") == ("fp32", "the bundle's choice")
    with pytest.raises(PrecisionError, match="one of 'auto', 'fp32', 'int8', got 'fp8'"):
        manifest.resolve_precision("fp8")


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_calibrated_score_is_a_probability(logit: float, scale: float, bias: float) -> None:
    assert 0.0 <= Calibration(scale, bias).score(logit) <= 1.0


def test_calibrated_score_by_hand() -> None:
    assert Calibration(2.0, -1.0).score(0.5) == 0.5
    assert Calibration(2.0, -1.0).score(1.5) == pytest.approx(1 / (1 + math.exp(-2.0)))


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # the digest of FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "file") == expected


def test_a_manifest_that_is_no_file_is_not_waited_for(tiny_bundle: Path) -> None:
    (tiny_bundle / "manifest.json").unlink()
    os.mkfifo(tiny_bundle / "manifest.json")
    with pytest.raises(BundleCorruptError, match="to be a file"):
        Manifest.load(tiny_bundle)


def test_a_graph_with_data_in_another_file_is_refused(tiny_bundle: Path) -> None:
    path = tiny_bundle / "text.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w", size_threshold=0)
    hashed = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    edit(tiny_bundle, lambda m: m["graphs"]["text"]["fp32"].update(hashed))
    with pytest.raises(BundleCorruptError, match="hold its weights itself"):
        Manifest.load(tiny_bundle).verify(tiny_bundle)
