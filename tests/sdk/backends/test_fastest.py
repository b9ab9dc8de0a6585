"""Which precision "auto" takes on a CPU: the faster one, measured once a machine."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk import BundleCorruptError, Grounder
from sdk.backends import fastest
from sdk.bundle.manifest import Manifest
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Two precisions, each with a vision graph of its own."""
    folder = write_tiny_bundle(tmp_path / "bundle")
    manifest = Manifest.load(folder)
    plain = manifest.graphs["vision"]["fp32"]
    shutil.copy(folder / plain.file, folder / "vision.int8.onnx")
    vision = {"fp32": plain, "int8": replace(plain, file="vision.int8.onnx")}
    graphs = {**manifest.graphs, "vision": vision}
    precisions = {
        "fp32": manifest.precisions["fp32"],
        "int8": {**manifest.precisions["fp32"], "vision": "int8"},
    }
    replace(manifest, graphs=graphs, precisions=precisions).save(folder)
    return folder


def kept(bundle: Path) -> Path:
    return bundle / "engines" / fastest.FILE_NAME


def times(monkeypatch: pytest.MonkeyPatch, **milliseconds: float) -> None:
    """What the clock says; a machine under load would not say the same twice."""
    monkeypatch.setattr(fastest, "timed", lambda manifest, sessions: milliseconds)


def test_it_is_measured_once_and_kept(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Grounder.load(bundle, device="cpu").info
    measured = json.loads(kept(bundle).read_text())
    assert set(measured["milliseconds"]) == {"fp32", "int8"}
    assert all(ms > 0 for ms in measured["milliseconds"].values())
    assert first.precision == measured["precision"]
    assert f"fp32 {measured['milliseconds']['fp32']:.1f} ms" in first.reason
    monkeypatch.delattr(fastest, "timed")  # would fail
    assert Grounder.load(bundle, device="cpu").info == first


def test_the_faster_one_is_taken(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    info = Grounder.load(bundle, device="cpu").info
    assert (info.precision, info.graphs["vision"].precision) == ("int8", "int8")
    assert info.reason == "the faster vision graph on this machine: fp32 10.0 ms, int8 7.0 ms"


def test_what_was_asked_for_is_not_measured(bundle: Path) -> None:
    info = Grounder.load(bundle, device="cpu", precision="fp32").info
    assert (info.precision, info.reason) == ("fp32", "asked for")
    assert not kept(bundle).exists()


def test_one_precision_needs_no_measurement(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    assert Grounder.load(bundle, device="cpu").info.reason == "the only one of the bundle for a CPU"
    assert not kept(bundle).exists()


def test_a_bundle_for_a_gpu_keeps_its_choice(bundle: Path) -> None:
    manifest = Manifest.load(bundle)
    half = {**manifest.precisions, "fp16": manifest.precisions["int8"]}
    replace(manifest, precisions=half, default_precision="fp16").save(bundle)
    info = Grounder.load(bundle, device="cpu").info
    assert (info.precision, info.reason) == ("fp16", "the bundle's choice")
    assert not kept(bundle).exists()


@pytest.mark.parametrize("damage", ["key", "precision", "cut"])
def test_what_is_no_measurement_of_this_machine_is_made_anew(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    Grounder.load(bundle, device="cpu")
    told = json.loads(kept(bundle).read_text())
    text = json.dumps({**told, damage: "fp8"}) if damage in told else kept(bundle).read_text()[:-9]
    kept(bundle).write_text(text)
    times(monkeypatch, fp32=10.0, int8=12.0)
    assert Grounder.load(bundle, device="cpu").info.precision == "fp32"
    assert json.loads(kept(bundle).read_text())["milliseconds"]["int8"] == 12.0


def test_other_threads_are_another_measurement(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    Grounder.load(bundle, device="cpu", threads=1)
    times(monkeypatch, fp32=10.0, int8=12.0)
    assert Grounder.load(bundle, device="cpu", threads=2).info.precision == "fp32"


def test_where_it_cannot_be_kept_grounding_goes_on(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    (bundle / "engines").write_text("a file, not a folder")
    assert Grounder.load(bundle, device="cpu").info.precision == "int8"
    monkeypatch.setattr(fastest, "_writable", lambda folder: False)  # root may write anywhere
    info = Grounder.load(bundle, device="cpu").info
    assert info.precision == "fp32" and "no measurement can be kept" in info.reason


def test_a_damaged_graph_is_not_run_to_be_timed(bundle: Path) -> None:
    graph = bundle / "vision.int8.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleCorruptError, match=r"vision\.int8\.onnx"):
        Grounder.load(bundle, device="cpu")


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 99), min_size=1), st.data())
def test_the_bundles_choice_stays_unless_another_is_clearly_faster(
    milliseconds: dict[str, float], data: st.DataObject
) -> None:
    default = data.draw(st.sampled_from(sorted(milliseconds)))
    chosen = fastest.choose(milliseconds, default)
    best = min(milliseconds.values())
    assert milliseconds[chosen] in (best, milliseconds[default])
    assert (chosen == default) == (best >= fastest.FASTER * milliseconds[default])
