"""The demos as a user starts them without a window, and the files they write."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.video_file import VideoFile
from sdk import GroundingError
from tests.paths import ROOT
from tests.videos import read_video
from tests.waiting import WAIT, run_process
from tests.windows import AS_FILE

AS_MODULE = [sys.executable, "-m", "apps.webcam_demo"]


@pytest.fixture
def street(tmp_path: Path, frame: NDArray[np.uint8]) -> Path:
    """A video of 12 frames, 200 x 120."""
    path = tmp_path / "street.mp4"
    with VideoFile(path, 25, (200, 120)) as video:
        for shift in range(12):
            video.write(np.roll(frame, 4 * shift, axis=1))
    return path


def run(command: list[str], *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    everything = [*command, *(str(argument) for argument in arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    return run_process(everything, cwd=cwd, env=environment)


@pytest.mark.parametrize("command", [AS_FILE, AS_MODULE], ids=["file", "module"])
def test_headless_writes_the_annotated_video(
    command: list[str], street: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    options = ["--headless", "--output", out, "--max-frames", 5, "--bundle", tiny_bundle]
    cwd = ROOT if command is AS_MODULE else tmp_path
    done = run(command, "--source", street, "--phrase", "the dog", *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "5 frames" in done.stdout and "median grounding" in done.stdout
    frames, original = read_video(out), read_video(street)
    assert len(frames) == 5
    assert frames[0].shape == original[0].shape
    assert np.abs(frames[0].astype(int) - original[0]).max() > 100
    assert not list(tmp_path.glob(".*"))


def test_headless_takes_a_folder_of_pictures(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for number, size_wh in enumerate([(200, 120), (120, 200), (64, 64)]):
        picture = np.full((size_wh[1], size_wh[0], 3), 60 * number + 60, np.uint8)
        cv2.imwrite(str(tmp_path / "shots" / f"{number}.png"), picture)
    out = tmp_path / "out.avi"
    options = ["--headless", "--output", out, "--bundle", tiny_bundle]
    done = run(AS_FILE, "--source", tmp_path / "shots", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [frame.shape for frame in read_video(out)] == [(120, 200, 3)] * 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--source", "no.mp4", "--headless", "--output", "out.mp4"], "no.mp4"),
        (["--source", "{street}", "--headless", "--output", "no/out.mp4"], "no/out.mp4"),
        (["--source", "{street}", "--headless", "--output", "out.gif"], "out.gif"),
        (["--source", "{street}", "--headless", "--output", "o.mp4", "--phrase", "?"], "letter"),
        (["--source", "{street}", "--headless", "--output", "o.mp4", "--device", "tpu"], "tpu"),
        (["--source", "{street}"], "--headless --output"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    arguments: list[str], complaint: str, street: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    filled = [argument.format(street=street) for argument in arguments]
    done = run(AS_FILE, *filled, "--bundle", tiny_bundle, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert complaint in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "street.mp4"]


@pytest.mark.parametrize("arguments", [["--headless"], ["--max-frames", "0"]])
def test_a_wrong_command_line(arguments: list[str], tmp_path: Path) -> None:
    assert run(AS_FILE, *arguments, cwd=tmp_path).returncode == 2


def test_interrupting_keeps_the_video(tiny_bundle: Path, tmp_path: Path) -> None:
    """Ctrl+C is how a recording ends. Noise, so that the file grows with every frame."""
    picture = tmp_path / "shots" / "0.png"
    picture.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    cv2.imwrite(str(picture), noise)
    for number in range(1, 5000):  # more than are read before the signal arrives
        os.link(picture, picture.with_name(f"{number}.png"))
    out = tmp_path / "out.mp4"
    options = ["--headless", "--output", out, "--bundle", tiny_bundle]
    command = [*AS_FILE, "--source", picture.parent, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any(
        path.stat().st_size > 10_000 for path in tmp_path.glob(".out.*.partial.mp4")
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 0, errors
    assert 0 < int(output.split()[0]) < 5000
    # The last frame may have been interrupted between grounding and writing.
    grounded = int(output.split()[0])
    # the last one may have been interrupted before it was written
    assert len(read_video(out)) in (grounded - 1, grounded)
    assert not list(tmp_path.glob(".out.*"))


def test_a_video_without_frames_leaves_no_file(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "out.mp4", 25, (64, 48)):
        pass
    assert not list(tmp_path.iterdir())


def test_a_video_keeps_what_it_has_when_something_fails(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"an older one")
    with pytest.raises(RuntimeError), VideoFile(path, 25, (64, 48)) as video:
        video.write(np.zeros((48, 64, 3), np.uint8), copies=3)
        assert path.read_bytes() == b"an older one"
        raise RuntimeError
    assert len(read_video(path)) == 3


def test_a_frame_of_another_size_is_fitted_with_borders(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "out.avi", 25, (160, 120)) as video:
        video.write(np.full((100, 100, 3), 200, np.uint8))
    (frame,) = read_video(tmp_path / "out.avi")
    assert frame[:, 25:135].mean() > 190
    assert max(frame[:, :15].mean(), frame[:, 145:].mean()) < 10


@pytest.mark.parametrize("name", ["out.gif", "out", "no/out.mp4"])
def test_a_video_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(GroundingError, match=name):
        VideoFile(tmp_path / name, 25, (64, 48))


def test_the_demo_of_make_demo(tmp_path: Path) -> None:
    demo = [sys.executable, str(ROOT / "apps" / "demo.py")]
    done = run(demo, "--output", "deep/out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.strip().split("  ")[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "not found" in lines["a bicycle"] and "not found" not in lines["the woman"]
    written = {path.name for path in (tmp_path / "deep" / "out").iterdir()}
    photos = {path.name for path in (ROOT / "apps" / "assets").glob("*.jpg")}
    assert written == photos | {"video.mp4"}
    frames = read_video(tmp_path / "deep" / "out" / "video.mp4")
    assert len(frames) > 100 and frames[0].shape == (480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 20


def test_every_photo_of_the_demo_is_credited() -> None:
    credits_text = (ROOT / "apps" / "assets" / "CREDITS.md").read_text(encoding="utf-8")
    for path in (ROOT / "apps" / "assets").glob("*.jpg"):
        assert f"`{path.name}`" in credits_text
