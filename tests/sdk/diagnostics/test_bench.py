"""`grounder bench`: what it measures, writes and compares. No test says how fast anything is."""

import copy
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from sdk import Grounder, GroundingError
from sdk._internal.hashing import sha256_file
from sdk.backends.ort import PROVIDERS, OrtSession
from sdk.bundle import DEFAULT_BUNDLE
from sdk.cli import main
from sdk.diagnostics import benchmark
from sdk.diagnostics import record as records
from tests.paths import ROOT
from tests.waiting import run_process

NAMES = [
    *("preprocess", "vision", "text", "fusion, 1 phrase", "fusion, 3 phrases"),
    *("new frame, 1 phrase", "new frame, 3 phrases"),
    *("same frame, known phrase", "same frame, new phrase", "load", "first answer"),
]


def call(*arguments: object) -> int:
    return main(["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures of the default bundle, as the command writes them from a process of its own."""
    path = tmp_path_factory.mktemp("bench") / "run.json"
    options = ["--frames", 4, "--phrases", 3, 1, "--threads", 1, "--device", "cpu", "--json", path]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sdk.cli import main; "
    command = [sys.executable, "-c", f"{code}sys.exit(main())", "bench"]
    done = run_process([*command, *map(str, options)])
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def record(default_run: Path) -> dict[str, Any]:
    return records.read_record(default_run)


def test_every_part_has_ordered_percentiles(record: dict[str, Any]) -> None:
    times = record["milliseconds"]
    assert list(times) == NAMES
    for name, row in times.items():
        assert row["samples"] == (benchmark.LOADS if name in ("load", "first answer") else 10)
        assert 0 < row["q25"] <= row["p50"] <= row["q75"] <= row["p90"] <= row["p99"], name
    few, many = times["new frame, 1 phrase"]["mean"], times["new frame, 3 phrases"]["mean"]
    assert record["per_second"]["frames"] == pytest.approx(1000 / few)
    assert record["per_second"]["phrases"] == pytest.approx(3000 / many)


def test_the_record_says_what_was_measured(record: dict[str, Any]) -> None:
    grounder = Grounder.load(device="cpu")
    bundle = record["bundle"]
    assert bundle["sha256"] == sha256_file(DEFAULT_BUNDLE / "manifest.json")
    assert (bundle["name"], bundle["precision"]) == ("default", grounder.info.precision)
    assert record["versions"]["onnxruntime"] == onnxruntime.__version__
    assert record["versions"]["numpy"] == metadata.version("numpy")
    assert record["settings"] == {"threads": 1, "phrases": [1, 3], "size_wh": [640, 480]}
    for name, session in grounder.sessions.items():
        assert isinstance(session, OrtSession)
        provider = session._session.get_providers()[0]
        assert PROVIDERS[bundle["graphs"][name]["device"]] == provider
    built = grounder.manifest.metrics["precisions"][bundle["precision"]]
    assert record["accuracy"]["accuracy"] == built["val_single_box"]["accuracy"]
    assert record["accuracy"]["box_iou_to_fp32"] == built["box_iou_to_fp32"]
    assert record["accuracy"]["score_drift"] == built["score_drift"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory(record: dict[str, Any]) -> None:
    memory = record["memory_mib"]
    assert 0 < memory["before"] <= memory["peak"]
    assert memory["before"] + 20 < memory["loaded"] <= memory["peak"]  # the graphs have 33 MB
    assert memory["end"] <= memory["peak"]


def test_the_report_shows_every_figure(record: dict[str, Any]) -> None:
    lines = records.report(record)
    for name, row in record["milliseconds"].items():
        (line,) = (line for line in lines if line.startswith(f"{name}  "))
        assert line.split()[-3:] == [f"{row[key]:.2f}" for key in ("p50", "p90", "p99")]
    text = "\n".join(lines)
    assert "Acc@0.5 70.7" in text and "vision cpu fp32, text cpu int8" in text
    assert "unknown" not in text


def test_a_run_has_not_changed_from_itself(
    record: dict[str, Any],
) -> None:
    lines = records.compare(record, record)
    assert lines[-1] == "no change beyond the noise"
    assert len(lines) == len(NAMES) + 2 + len(record["memory_mib"]) + 1
    assert all(line.endswith("+0.0%") for line in lines[:-1])


def test_changes_beyond_the_noise_are_marked(record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    before["bundle"]["sha256"] = "0" * 64
    for name, factor in (("vision", 100), ("text", 0.01)):
        row = before["milliseconds"][name]
        before["milliseconds"][name] = {key: factor * value for key, value in row.items()}
    del before["milliseconds"]["preprocess"]
    lines = records.compare(before, record)
    assert lines[0].startswith("not alike, bundle sha256: 000") and "machine" not in lines[0]
    marked = {line.split("  ")[0]: line.split()[-2:] for line in lines if line.endswith("er")}
    assert marked == {"vision": ["-99.0%", "faster"], "text": ["+9900.0%", "slower"]}
    assert not any(line.startswith("preprocess") for line in lines)
    assert lines[-1] == "2 of the times changed"


def test_figures_that_overlap_are_noise(record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    row = before["milliseconds"]["vision"]
    row["p50"], row["q25"] = 2 * row["p50"], record["milliseconds"]["vision"]["q75"]
    row["q75"] = 3 * row["p50"]
    assert records.compare(before, record)[-1] == "no change beyond the noise"


def test_the_command_compares_and_replaces(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    options = [tiny_bundle, "--frames", 1, "--precision", "int8", "--json", path]
    assert call(*options) == 0
    first = records.read_record(path)
    assert first["bundle"]["graphs"]["text"]["precision"] == "int8"
    assert first["accuracy"] == {"accuracy": None, "box_iou_to_fp32": None, "score_drift": None}
    printed = capsys.readouterr().out
    assert "s to go" in printed.splitlines()[0]
    assert "Acc@0.5 unknown" in printed and "compared" not in printed
    assert call(*options, "--compare", path) == 0
    assert f"compared with {path}" in capsys.readouterr().out
    assert records.read_record(path) != first
    assert [file.name for file in tmp_path.glob("run*")] == ["run.json"]


def test_a_picture_of_ones_own(tiny_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), np.full((60, 80, 3), 90, np.uint8))
    record = benchmark.measure(tiny_bundle, frames=1, phrases=[1], image=str(picture))
    assert record["settings"]["size_wh"] == [80, 60]
    assert "new frame, 1 phrase" in record["milliseconds"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--frames", 0], "got 0"),
        (["--phrases", 0], "1 to 32 phrases"),
        (["--phrases", 1, 33], "1 to 32 phrases"),
        (["--image", "nothing.jpg"], "nothing.jpg"),
        (["--device", "tpu"], "tpu"),
        (["--precision", "fp8"], "fp8"),
        (["--json", "/nowhere/run.json"], "/nowhere"),
        (["--compare", "/nowhere/run.json"], "/nowhere"),
        (["--compare", __file__], "test_bench.py"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[object],
    complaint: str,
) -> None:
    assert call(tiny_bundle, *options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert complaint in printed.err


def test_another_format_is_refused(record: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record | {"format": records.FORMAT + 1}))
    with pytest.raises(GroundingError, match="measure it again"):
        records.read_record(path)


def test_a_write_that_fails_leaves_nothing(record: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(GroundingError, match=r"run\.json"):
        records.write_record(tmp_path / "run.json", record)
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
