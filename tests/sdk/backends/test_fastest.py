"""Which precision "auto" takes on a CPU: the faster one, measured once a machine."""

import errno
import json
import shutil
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sdk import BundleCorruptError, Grounder
from sdk.backends import fastest
from sdk.bundle.manifest import Manifest
from tests.tiny_bundle import TOKEN_WIDTH, VISION, save_graph, write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Two precisions, each with a vision graph of its own."""
    folder = write_tiny_bundle(tmp_path / "bundle")
    manifest = Manifest.load(folder)
    plain = manifest.graphs["vision"]["fp32"]
    other = save_graph(folder / "vision.int8.onnx", VISION, np.ones((3, TOKEN_WIDTH), np.float32))
    vision = {"fp32": plain, "int8": other}
    graphs = {**manifest.graphs, "vision": vision}
    precisions = {
        "fp32": manifest.precisions["fp32"],
        "int8": {**manifest.precisions["fp32"], "vision": "int8"},
    }
    replace(manifest, graphs=graphs, precisions=precisions).save(folder)
    return folder


SAME = "the bundle's choice, its only vision graph for a CPU"


def kept(bundle: Path) -> Path:
    """The one file of a measurement; where there is none, a path that does not exist."""
    folder = bundle / "engines"
    return next(folder.glob(fastest.FILE_NAME.format("*")), folder / "none")


def times(monkeypatch: pytest.MonkeyPatch, **milliseconds: float) -> None:
    """What the clock says; a machine under load would not say the same twice."""
    rounds = {name: np.full(fastest.ROUNDS, ms) for name, ms in milliseconds.items()}
    monkeypatch.setattr(fastest, "timed", lambda manifest, sessions: rounds)


def test_it_is_measured_once_and_kept(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Grounder.load(bundle, device="cpu").info
    measured = json.loads(kept(bundle).read_text())
    assert set(measured["milliseconds"]) == {"fp32", "int8"}
    assert all(ms > 0 for ms in measured["milliseconds"].values())
    assert first.reason.startswith("the ")
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
    assert Grounder.load(bundle, device="cpu").info.reason == SAME
    assert not kept(bundle).exists()


def test_a_bundle_for_a_gpu_keeps_its_choice(bundle: Path) -> None:
    manifest = Manifest.load(bundle)
    half = {**manifest.precisions, "fp16": manifest.precisions["int8"]}
    replace(manifest, precisions=half, default_precision="fp16").save(bundle)
    info = Grounder.load(bundle, device="cpu").info
    assert (info.precision, info.reason) == ("fp16", "the bundle's choice")
    assert not kept(bundle).exists()


@pytest.mark.parametrize("damage", ["key", "precision", "milliseconds", "cut"])
def test_what_is_no_measurement_of_this_machine_is_made_anew(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    Grounder.load(bundle, device="cpu")
    told = json.loads(kept(bundle).read_text())
    other = {"fp8": 1.0} if damage == "milliseconds" else "fp8"
    text = json.dumps({**told, damage: other}) if damage in told else kept(bundle).read_text()[:-9]
    kept(bundle).write_text(text)
    times(monkeypatch, fp32=10.0, int8=12.0)
    assert Grounder.load(bundle, device="cpu").info.precision == "fp32"
    assert json.loads(kept(bundle).read_text())["milliseconds"]["int8"] == 12.0


@pytest.mark.parametrize("what", ["threads", "processor", "runtime", "rule"])
def test_another_machine_is_another_measurement(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    Grounder.load(bundle, device="cpu", threads=1)
    times(monkeypatch, fp32=10.0, int8=12.0)
    if what == "processor":
        monkeypatch.setattr(fastest, "_processor", lambda: "another")
    elif what == "runtime":
        monkeypatch.setattr(fastest, "RUNTIME", "another")
    elif what == "rule":
        monkeypatch.setattr(fastest, "LEAST_GAIN", 0.1)
    info = Grounder.load(bundle, device="cpu", threads=2 if what == "threads" else 1).info
    assert info.precision == "fp32"
    least = "10%" if what == "rule" else "5%"
    assert info.reason == (
        f"the bundle's choice, no other saves {least} in four of five rounds on this machine: "
        "fp32 10.0 ms, int8 12.0 ms"
    )


def test_one_graph_under_two_names_is_no_choice(bundle: Path) -> None:
    manifest = Manifest.load(bundle)
    plain = manifest.graphs["vision"]["fp32"]
    shutil.copy(bundle / plain.file, bundle / "again.onnx")
    vision = {"fp32": plain, "int8": replace(plain, file="again.onnx")}
    replace(manifest, graphs={**manifest.graphs, "vision": vision}).save(bundle)
    assert Grounder.load(bundle, device="cpu").info.reason == SAME


def test_the_first_of_several_processes_decides(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    Grounder.load(bundle, device="cpu")
    file = kept(bundle)
    first = file.read_text()
    file.unlink()

    def meanwhile(manifest: Manifest, sessions: object) -> dict[str, NDArray[np.float64]]:
        file.write_text(first)
        return {"fp32": np.array([10.0]), "int8": np.array([12.0])}

    monkeypatch.setattr(fastest, "timed", meanwhile)
    assert Grounder.load(bundle, device="cpu").info.precision == "int8"
    assert kept(bundle).read_text() == first


def test_it_is_kept_in_the_folder_of_engines_that_is_named(bundle: Path, tmp_path: Path) -> None:
    Grounder.load(bundle, device="cpu", engines=tmp_path / "mine")
    (file,) = (tmp_path / "mine").iterdir()
    assert file.match(fastest.FILE_NAME.format("*")) and not kept(bundle).exists()


def test_no_folders_are_made_for_a_name_that_was_mistyped(bundle: Path, tmp_path: Path) -> None:
    info = Grounder.load(bundle, device="cpu", engines=tmp_path / "no" / "such").info
    assert "no measurement can be kept" in info.reason
    assert not (tmp_path / "no").exists()


def test_on_a_full_disk_the_bundle_chooses(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    times(monkeypatch, fp32=10.0, int8=7.0)
    monkeypatch.setattr(fastest, "replace_file", full)
    info = Grounder.load(bundle, device="cpu").info
    assert info.precision == "fp32" and "no measurement can be kept" in info.reason


def test_each_number_of_threads_keeps_its_measurement(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    Grounder.load(bundle, device="cpu", threads=1)
    times(monkeypatch, fp32=10.0, int8=12.0)
    Grounder.load(bundle, device="cpu", threads=2)
    monkeypatch.delattr(fastest, "timed")  # would fail
    assert Grounder.load(bundle, device="cpu", threads=1).info.precision == "int8"
    assert Grounder.load(bundle, device="cpu", threads=2).info.precision == "fp32"


def test_where_it_cannot_be_kept_the_bundle_chooses(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, fp32=10.0, int8=7.0)
    (bundle / "engines").write_text("a file, not a folder")
    info = Grounder.load(bundle, device="cpu").info
    assert info.precision == "fp32" and "no measurement can be kept" in info.reason


def test_what_is_warming_up_is_not_counted(bundle: Path) -> None:
    manifest, calls = Manifest.load(bundle), count()

    class Slow:
        def run(self, inputs: object) -> dict[str, NDArray[np.float32]]:
            time.sleep(0.05 if next(calls) < fastest.WARM else 0.0)
            return {}

    (times_taken,) = fastest.timed(manifest, {"fp32": Slow()}).values()  # type: ignore[dict-item]
    assert len(times_taken) == fastest.ROUNDS and max(times_taken) < 50


def test_a_damaged_graph_is_not_run_to_be_timed(bundle: Path) -> None:
    graph = bundle / "vision.int8.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleCorruptError, match=r"vision\.int8\.onnx"):
        Grounder.load(bundle, device="cpu")


rounds = st.lists(st.floats(1, 99), min_size=5, max_size=5)


@given(st.dictionaries(st.sampled_from("abc"), rounds, min_size=1), st.data())
def test_the_bundles_choice_stays_unless_another_is_clearly_faster(
    lists: dict[str, list[float]], data: st.DataObject
) -> None:
    default = data.draw(st.sampled_from(sorted(lists)))
    times = {name: np.array(of) for name, of in lists.items()}
    chosen = fastest.choose(times, default)
    saved = {name: 1 - of / times[default] for name, of in times.items()}
    won = {name: (share > fastest.LEAST_GAIN).sum() for name, share in saved.items()}
    assert won[chosen] >= 4 or chosen == default
    assert (chosen == default) == (max(won.values()) < 4)
