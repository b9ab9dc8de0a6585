"""Robustness, contact sheets and the results page, on a tiny bundle and generated photos."""

import json
import sys
from pathlib import Path

import cv2
import pytest

from benchmarks import results_page
from sdk import Grounder
from tests.tiny import tiny_data
from tests.waiting import run_process
from train.contact_sheet import main as contact_sheet
from train.evaluate import main as evaluate_bundle
from train.questions import caption_questions, single_box
from train.robustness import PICTURE, TEXT, robustness


def test_every_condition_is_measured_on_the_phrases_it_changes(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    asked = single_box(caption_questions(tiny_data(tmp_path, own=True)))
    phrases = [e.text for _, expressions in asked for e in expressions]
    figures = robustness(Grounder.load(tiny_bundle), asked)
    assert figures.keys() == {*PICTURE, *TEXT}
    for name, row in figures.items():
        assert row["lost"] == pytest.approx(row["clean"] - row["accuracy"], nan_ok=True)
        if name in PICTURE or name.startswith(("upper", "full stop")):
            assert row["phrases"] == len(phrases)
    cars = [phrase for phrase in phrases if "car" in phrase]  # the one noun that has a synonym
    assert 0 < len(cars) < len(phrases)
    assert figures["paraphrase (doggy, guy, sofa)"]["phrases"] == len(cars)


def test_a_condition_reaches_the_bundle(tmp_path: Path, tiny_bundle: Path) -> None:
    asked = single_box(caption_questions(tiny_data(tmp_path, own=True)))
    figures = robustness(Grounder.load(tiny_bundle), asked)
    # The vocabulary is lower-case and so is the text: upper case alone must change nothing.
    assert figures["upper case"]["lost"] == 0


def test_mistakes_are_drawn_and_absent_data_is_one_line(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_data(tmp_path, own=True)
    flags = ["--bundle", str(tiny_bundle), "--out", str(tmp_path / "sheets")]
    for questions in ("captions", "contrastive", "absent"):
        assert contact_sheet(["--data", str(root), "--questions", questions, *flags]) == 0
    drawn = sorted((tmp_path / "sheets").glob("*.jpg"))
    assert drawn and cv2.imread(str(drawn[0])).shape[1] == 5 * 256
    assert contact_sheet(["--data", str(tmp_path / "nowhere"), *flags]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_the_results_page_holds_the_measured_figures(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, results = tiny_data(tmp_path, own=True), tmp_path / "results"
    flags = ["--data", str(root), "--bundle", str(tiny_bundle)]
    assert evaluate_bundle([*flags, "--json", str(results / "accuracy.json")]) == 0
    accuracy = json.loads((results / "accuracy.json").read_text())
    machine = {"cpu": "some CPU", "cores": 2, "onnxruntime": "1.0", "commit": "abc"}
    condition = {"phrases": 7, "clean": 61.0, "accuracy": 58.5, "lost": 2.5}
    accuracy |= {
        "machine": machine,
        "bundle": {"name": "tiny", "graph_bytes": 12_300_000},
        "robustness": {"fog": condition},
    }
    (results / "accuracy.json").write_text(json.dumps(accuracy))
    script = [sys.executable, "-m", "benchmarks.latency", "--samples", "10"]
    target = ["--bundle", str(tiny_bundle), "--json", str(results / "latency.json")]
    done = run_process([*script, *target])
    assert done.returncode == 0, done.stderr
    latency = json.loads((results / "latency.json").read_text())
    assert latency["runs"].keys() == {"fp32", "int8"}
    monkeypatch.setattr(results_page, "RESULTS", results)
    monkeypatch.setattr(results_page, "PAGE", tmp_path / "results.md")
    monkeypatch.setattr(results_page, "PICTURE", tmp_path / "reliability.png")
    assert results_page.main() == 0
    page = (tmp_path / "results.md").read_text()
    assert "| fog | 61.0 | 58.5 | 2.5 | 7 |" in page
    for precision, run in latency["runs"].items():
        for name, row in run["milliseconds"].items():
            times = " | ".join(f"{row[key]:.1f}" for key in ("p50", "p90", "p99"))
            assert f"| {precision} | {name} | {times} | {row['samples']} |" in page
    assert "640x480 frames" in page and f"`threads={run['settings']['threads']}`" in page
    assert "12.3 MB" in page and "commit abc" in page
    assert f"commit {latency['machine']['commit']}" in page
    assert cv2.imread(str(tmp_path / "reliability.png")) is not None
