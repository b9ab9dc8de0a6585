"""The demos as a user starts them, and the keys of the window without and with a real window."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
from apps._video import VideoFile
from apps._window import BACKSPACES, ENTER, ESCAPE, SPACE, TAB, Controls, ascii_key
from sdk import Grounder, GroundingError

ROOT = Path(sdk.__file__).parents[1]
AS_FILE = [sys.executable, str(ROOT / "apps" / "webcam_demo.py")]
AS_MODULE = [sys.executable, "-m", "apps.webcam_demo"]


def read_video(path: Path) -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        got, frame = capture.read()
        if not got:
            return frames
        frames.append(np.asarray(frame, np.uint8))


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
    return subprocess.run(everything, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("command", [AS_FILE, AS_MODULE], ids=["file", "module"])
def test_headless_writes_the_annotated_video(
    command: list[str], street: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    options = ["--headless", "--output", out, "--max-frames", 5, "--bundle", tiny_bundle]
    cwd = ROOT if command is AS_MODULE else tmp_path
    done = run(command, "--source", street, "--phrase", "the dog", *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "5 frames" in done.stdout and "median latency" in done.stdout
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
    partial = tmp_path / ".out.partial.mp4"
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 10_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert 0 < int(output.split()[0]) < 5000
    # The last frame may have been interrupted between grounding and writing.
    grounded = int(output.split()[0])
    # the last one may have been interrupted before it was written
    assert len(read_video(out)) in (grounded - 1, grounded)
    assert not partial.exists()


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


def press(controls: Controls, *keys: int | str) -> Controls:
    for key in keys:
        for code in [key] if isinstance(key, int) else map(ord, key):
            controls.press(code)
    return controls


@pytest.mark.parametrize("start", [TAB, ENTER])
def test_typing_another_phrase(start: int) -> None:
    controls = press(Controls(["a cat"]), start, "the quick dog")
    assert controls.editing and not controls.quitting and not controls.paused
    assert controls.phrases == ["a cat"]
    assert any("the quick dog" in line for line in controls.lines())
    press(controls, BACKSPACES[0], BACKSPACES[1], "or", ENTER)
    assert not controls.editing
    assert controls.phrases == ["the quick dor"]


def test_typing_several_phrases() -> None:
    assert press(Controls(["a"]), TAB, " a dog ;; a cat;", ENTER).phrases == ["a dog", "a cat"]


def test_escape_and_an_empty_phrase_keep_the_old_one() -> None:
    controls = press(Controls(["a cat"]), TAB, "dog", ESCAPE)
    assert (controls.phrases, controls.editing, controls.quitting) == (["a cat"], False, False)
    assert press(controls, TAB, BACKSPACES[0], " ; ", ENTER).phrases == ["a cat"]


def test_a_phrase_that_cannot_be_grounded_is_taken_back() -> None:
    controls = press(Controls(["a cat"]), TAB, "!!", ENTER)
    controls.reject("expected words")
    assert controls.phrases == ["a cat"]
    assert "expected words" in controls.lines()
    assert "expected words" not in press(controls, "h").lines()


def test_the_other_keys() -> None:
    controls = Controls(["a cat"])
    assert press(controls, SPACE).paused and not press(controls, SPACE).paused
    assert len(press(controls, "h").lines()) > len(press(controls, "h").lines())
    assert press(controls, "s").snapping
    assert press(Controls(["a"]), "q").quitting
    assert press(Controls(["a"]), ESCAPE).quitting


@pytest.mark.parametrize(
    ("code", "key"),
    [
        *((-1, None), (ord("a"), ord("a")), (13, ENTER), (10, ENTER), (9, TAB), (27, ESCAPE)),
        *((0xFF0D, ENTER), (0xFF8D, ENTER), (0xFF08, 8), (0xFF1B, ESCAPE)),  # X11 names
        *((0x100000 | ord("a"), ord("a")), (0x110000 | 0xFF09, TAB)),  # GTK with Num Lock, Shift
        *((0xFF51, None), (0xFFE1, None), (0x250000, None), (201, None)),  # arrows, Shift, É
    ],
)
def test_key_codes(code: int, key: int | None) -> None:
    assert ascii_key(code) == key


def test_the_demo_of_make_demo(tmp_path: Path) -> None:
    demo = [sys.executable, str(ROOT / "apps" / "demo.py")]
    done = run(demo, "--output", "deep/out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.strip().split("  ")[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "not found" in lines["a bicycle"] and "not found" not in lines["a smiling woman"]
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


# From here on: a real window.

HEADLESS = any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines())
NEEDS = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_window = pytest.mark.skipif(
    HEADLESS or bool(NEEDS),
    reason=f"needs {', '.join(NEEDS)}" if NEEDS else "this OpenCV has no windows",
)


@pytest.fixture
def display() -> Iterator[str]:
    """Name of a virtual X display."""
    reader, writer = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writer)
        with os.fdopen(reader) as numbers:
            yield f":{numbers.readline().strip()}"
        server.terminate()


@needs_window
def test_a_phrase_typed_in_the_window_is_grounded(
    display: str, frame: NDArray[np.uint8], tiny_bundle: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), frame)
    options = ["--source", photo, "--phrase", "the dog", "--bundle", tiny_bundle]
    environment = {**os.environ, "DISPLAY": display}
    process = subprocess.Popen(
        [*AS_FILE, *options], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )

    def xdotool(*arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=environment, check=True, timeout=60)

    try:
        xdotool("search", "--sync", "--name", "^grounder$", "windowfocus", "--sync")
        for keys in (["Tab"], [*"red", "space", *"shirt", "semicolon", *"cat"], ["Return", "s"]):
            xdotool("key", "--delay", "250", *keys)
        xdotool("key", "--delay", "250", "Left", "q")
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    (snapshot,) = tmp_path.glob("snapshot-*.jpg")
    shown = cv2.imread(str(snapshot))
    results = Grounder.load(tiny_bundle).ground(frame, ["red shirt", "cat"])
    expected = sdk.draw(frame, results)
    assert shown is not None
    assert np.abs(shown.astype(int) - expected).mean() < 5
    before = sdk.draw(frame, Grounder.load(tiny_bundle).ground(frame, ["the dog"]))
    assert np.abs(shown.astype(int) - before).mean() > 5
