"""The demo of files: an annotated video and a line of JSON a frame, together or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from apps.video_demo import frames_to_come, main
from apps.video_file import VideoFile
from sdk import Grounder
from sdk.inputs.sources import open_source
from tests.paths import ROOT
from tests.streams import write_video
from tests.videos import read_video
from tests.waiting import WAIT

ASSETS = ROOT / "apps" / "assets"
AS_FILE = [sys.executable, str(ROOT / "apps" / "video_demo.py")]
PHRASES = ["a person", "a giraffe"]


@pytest.fixture(scope="module")
def grounder() -> Grounder:
    return Grounder.load(threads=1)


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A video of 10 frames, 160 x 160, 25 a second: a photo that moves to the right."""
    photo = np.asarray(cv2.imread(str(ASSETS / "astronaut.jpg")), np.uint8)
    path = tmp_path / "walk.mp4"
    with VideoFile(path, 25, (160, 160)) as video:
        for number in range(10):
            video.write(np.roll(photo, 8 * number, axis=1))
    return path


def demo(source: object, out: Path, *options: object, phrases: list[str] = PHRASES) -> int:
    asked = [word for phrase in phrases for word in ("--phrase", phrase)]
    arguments = [source, "--output", out, "--threads", 1, *asked, *options]
    return main([str(argument) for argument in arguments])


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def fps_of(path: Path) -> float:
    return cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)


def written(folder: Path, pattern: str, size: int) -> bool:
    """Whether a file of the pattern has more than `size` bytes."""
    return any(path.stat().st_size > size for path in folder.glob(pattern))


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("every", [1, 4])
def test_every_frame_of_a_video_is_drawn_and_written(
    every: int, walk: Path, grounder: Grounder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert demo(walk, out, "--every", every) == 0
    lines = read_lines(tmp_path / "out.jsonl")
    with grounder.stream(walk, PHRASES, every=every) as stream:
        expected = [
            {
                "frame": seen.number,
                "time_s": seen.number / 25,
                "fresh": list(seen.fresh),
                "track_ids": list(seen.track_ids),
                "results": [result.to_dict() for result in seen.results],
            }
            for seen in stream
        ]
    assert lines == expected and len(lines) == 10
    assert lines[0]["results"][0]["found"] and not lines[0]["results"][1]["found"]
    drawn, original = read_video(out), read_video(walk)
    assert len(drawn) == 10 and fps_of(out) == 25
    assert all(np.abs(a.astype(int) - b).max() > 100 for a, b in zip(drawn, original, strict=True))
    printed = capsys.readouterr()
    assert printed.out.startswith("10 frames in ") and printed.err == ""
    assert not hidden(tmp_path)


def test_without_tracking_there_are_groundings_alone(
    walk: Path, grounder: Grounder, tmp_path: Path
) -> None:
    """The frames between are left out, and the video keeps its speed."""
    out = tmp_path / "out.avi"
    assert demo(walk, out, "--no-tracking", "--every", 4, "--jsonl", tmp_path / "r.jsonl") == 0
    lines, frames = read_lines(tmp_path / "r.jsonl"), read_video(walk)
    assert [(line["frame"], line["time_s"]) for line in lines] == [(0, 0.0), (4, 0.16), (8, 0.32)]
    for line in lines:
        answers = grounder.ground(frames[line["frame"]], PHRASES)
        assert line["results"] == [result.to_dict() for result in answers]
    assert len(read_video(out)) == 3 and fps_of(out) == 25 / 4
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("pattern", ["", "*.jpg"])
def test_pictures_are_not_tracked(pattern: str, grounder: Grounder, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    names = {"1.jpg": "astronaut.jpg", "2.jpg": "stairs.jpg", "10.jpg": "astronaut.jpg"}
    for name, asset in names.items():
        shutil.copy(ASSETS / asset, shots / name)
    assert demo(str(shots / pattern), tmp_path / "out.mp4") == 0
    for line, name in zip(read_lines(tmp_path / "out.jsonl"), names, strict=True):
        answers = grounder.ground(shots / name, PHRASES)
        assert line["results"] == [result.to_dict() for result in answers]
        assert line["track_ids"] == [0, 0]
    assert [frame.shape for frame in read_video(tmp_path / "out.mp4")] == [(512, 512, 3)] * 3


def test_max_frames(walk: Path, tmp_path: Path) -> None:
    assert demo(walk, tmp_path / "out.mp4", "--max-frames", 3) == 0
    assert len(read_video(tmp_path / "out.mp4")) == len(read_lines(tmp_path / "out.jsonl")) == 3


def test_a_bad_picture_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for number in (1, 2, 4):
        shutil.copy(ASSETS / "cat.jpg", shots / f"{number}.jpg")
    (shots / "3.jpg").write_bytes(b"no picture")
    assert demo(shots, tmp_path / "out.mp4", phrases=["the cat"]) == 0
    assert "3.jpg" in caplog.text
    assert len(read_video(tmp_path / "out.mp4")) == len(read_lines(tmp_path / "out.jsonl")) == 3


def test_a_video_that_is_cut_off_keeps_what_was_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / "in.avi", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert demo(path, tmp_path / "out.mp4", phrases=["the cat"]) == 2
    assert "the file is cut off" in capsys.readouterr().err
    frames = len(read_lines(tmp_path / "out.jsonl"))
    assert 0 < frames < 40
    assert len(read_video(tmp_path / "out.mp4")) == frames
    assert not hidden(tmp_path)


def test_pictures_are_tracked_when_it_is_asked_for(tmp_path: Path) -> None:
    shots, out = tmp_path / "shots", tmp_path / "out.mp4"
    shots.mkdir()
    photo = np.asarray(cv2.imread(str(ASSETS / "astronaut.jpg")), np.uint8)
    for number in range(5):
        cv2.imwrite(str(shots / f"{number}.jpg"), np.roll(photo, 4 * number, axis=1))
    assert demo(shots, out, "--tracking", "--every", 4) == 0
    lines = read_lines(tmp_path / "out.jsonl")
    assert [line["fresh"][0] for line in lines] == [True, False, False, False, True]
    assert len({line["track_ids"][0] for line in lines}) == 1 and lines[0]["track_ids"][0] > 0


def test_interrupting_keeps_a_valid_pair(tmp_path: Path) -> None:
    """Started as a file, from another folder."""
    shots = tmp_path / "shots"
    shots.mkdir()
    shutil.copy(ASSETS / "cat.jpg", shots / "0.jpg")
    for number in range(1, 3000):  # more than are read before the signal arrives
        os.link(shots / "0.jpg", shots / f"{number}.jpg")
    (tmp_path / "out.jsonl").write_text("an older one\n")
    command = [*AS_FILE, "shots", "--phrase", "the cat", "--output", "out.mp4", "--threads", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        deadline = time.monotonic() + WAIT
        while process.poll() is None and not written(tmp_path, ".out.*.partial.jsonl", 3000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (tmp_path / "out.jsonl").read_text() == "an older one\n"
        assert not (tmp_path / "out.mp4").exists()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 0, errors
    lines = read_lines(tmp_path / "out.jsonl")
    assert 2 < len(lines) < 3000 and len(read_video(tmp_path / "out.mp4")) == len(lines)
    assert output.startswith(f"stopped: {len(lines)} frames")
    assert not hidden(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no.mp4"], "no.mp4"),
        (["walk.mp4", "--output", "no/out.mp4"], "no/out.mp4"),
        (["walk.mp4", "--output", "out.gif"], "out.gif"),
        (["walk.mp4", "--output", "walk.mp4"], "'walk.mp4' is the input itself"),
        (["walk.mp4", "--jsonl", "walk.mp4"], "'walk.mp4' is the input itself"),
        (["walk.mp4", "--jsonl", "no/out.jsonl"], "no/out.jsonl"),
        (["walk.mp4", "--output", "a.mp4", "--jsonl", "./a.mp4"], "expected two names"),
        (["walk.mp4", "--phrase", "?"], "letter"),
    ],
)
def test_an_error_is_one_line_and_leaves_no_file(
    arguments: list[str],
    complaint: str,
    walk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1 and complaint in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]


@pytest.mark.parametrize("option", ["--every", "--max-frames"])
def test_a_wrong_command_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["walk.mp4", option, "0"])
    assert f"{option}: expected at least 1, got 0" in capsys.readouterr().err


def test_how_many_frames_there_are(walk: Path, tmp_path: Path) -> None:
    shutil.copy(ASSETS / "astronaut.jpg", tmp_path / "a.jpg")
    shutil.copy(ASSETS / "astronaut.jpg", tmp_path / "b.JPG")
    (tmp_path / "c.txt").touch()
    for path, count in (
        (walk, 10),
        (tmp_path, 2),
        (tmp_path / "*.jpg", 1),
        (tmp_path / "a.jpg", 1),
    ):
        with open_source(path) as source:
            assert source.announced == count
    assert frames_to_come(10, 3, None) == 4 and frames_to_come(10, 1, 5) == 5
    assert frames_to_come(0, 1, 5) == 5 and frames_to_come(0, 1, None) is None
