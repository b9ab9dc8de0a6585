"""The webcam demo in a real window, used as a person would, by keys and mouse."""

import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
from apps.video_file import VideoFile
from apps.webcam.canvas import RED
from apps.webcam.controls import Controls
from apps.webcam.overlay import (
    canvas_wh,
    compose,
    dragged_box,
    fitted,
    panel_width,
    picture_area,
)
from apps.webcam.scene import Scene
from sdk import Grounder
from tests.paths import ROOT
from tests.pupils import CUP, CUP_BOX
from tests.videos import read_video
from tests.waiting import run_process
from tests.windows import AS_FILE, Demo, Display, needs_window

pytest_plugins = ["tests.windows"]

CAT = ROOT / "apps" / "assets" / "cat.jpg"


@pytest.fixture
def pan(tmp_path: Path) -> Path:
    """A video of 600 frames, 160 x 120, at 20 a second: a camera that moves over a photo."""
    photo = cv2.resize(np.asarray(cv2.imread(str(CAT)), np.uint8), (220, 120))
    path = tmp_path / "pan.avi"
    with VideoFile(path, 20, (160, 120)) as video:
        for number in range(600):
            left = number // 10
            video.write(np.asarray(photo[:, left : left + 160], np.uint8))
    return path


def snapshot(demo: Demo) -> NDArray[np.uint8]:
    """A new one, taken by the mouse."""
    before = set(demo.cwd.glob("snapshot-*.jpg"))
    demo.click("snapshot")
    demo.await_(lambda: len(set(demo.cwd.glob("snapshot-*.jpg")) - before) == 1)
    (path,) = set(demo.cwd.glob("snapshot-*.jpg")) - before
    return np.asarray(cv2.imread(str(path)), np.uint8)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@needs_window
def test_a_phrase_typed_in_the_window_moves_the_box(start: Callable[..., Demo]) -> None:
    """With the default bundle, on a picture: its only frame stays when the source has ended."""
    demo = start("--source", CAT, "--phrase", "an eye", "--device", "cpu", "--threads", 1)
    frame = np.asarray(cv2.imread(str(CAT)), np.uint8)
    grounder = Grounder.load(device="cpu", threads=1)
    drawn = {text: sdk.draw(frame, grounder.ground(frame, text)) for text in ("an eye", "the cat")}
    assert difference(snapshot(demo), drawn["an eye"]) < 3
    demo.press("\t", "grounder: find: _")
    demo.type("the cat")
    demo.press("\n", "grounder: the cat")
    assert difference(snapshot(demo), drawn["the cat"]) < 3
    assert difference(drawn["an eye"], drawn["the cat"]) > 3
    # What cannot be grounded is said, and the phrase before stays.
    demo.press("\t", "find: _")
    demo.press("question", "find: ?_")
    demo.press("\n", "grounder: the cat")
    # What is on the screen is what is drawn for a window of its size.
    canvas = canvas_wh(demo.size_wh)
    assert canvas == demo.size_wh
    scene = Scene(frame=frame, results=[grounder.ground(frame, "the cat")])
    expected, _ = compose(canvas, scene, Controls(["the cat"]))
    upper = (0, 0, canvas[0] - panel_width(canvas), canvas[1] // 2)
    demo.await_(lambda: bool((demo.seen(upper) == expected[: upper[3], : upper[2]]).all()))
    demo.xdotool("key", "--delay", "250", "Left", "q")
    assert "1 frames" in demo.end()


@needs_window
def test_everything_by_mouse(start: Callable[..., Demo], pan: Path, tiny_bundle: Path) -> None:
    bundle = ("--bundle", tiny_bundle, "--device", "cpu", "--threads", 1)
    demo = start("--source", pan, "--phrase", "the dog", "--phrase", "cat", *bundle)
    demo.click("pause")
    demo.await_(lambda: demo.lit("pause") and "(paused)" in demo.title)
    first = snapshot(demo)
    assert difference(snapshot(demo), first) == 0, "it is held"
    for _ in range(25):  # the photo moves every tenth frame
        demo.click("step")
    demo.await_(lambda: difference(snapshot(demo), first) > 0)
    assert demo.lit("tracking") and not demo.lit("why")
    demo.click("tracking")
    demo.click("why")
    demo.await_(lambda: demo.lit("why") and not demo.lit("tracking"))
    demo.click("help")
    demo.await_(lambda: demo.lit("help"))
    demo.click("help")
    demo.await_(lambda: not demo.lit("help"))
    left, top, right, bottom = button = demo.place("precision")
    for precision in ("int8", "fp32"):  # the button says which one, once it is loaded
        demo.click("precision")
        demo.xdotool("mousemove", 5, 5)  # what is under the mouse is lit, and under its arrow
        image, _ = compose(demo.size_wh, Scene(precision=precision), Controls(["a"]))
        expected = image[top:bottom, left:right]
        demo.await_(lambda label=expected: bool((demo.seen(button) == label).all()))  # type: ignore[misc]
    demo.click("remove", 0)
    demo.await_(lambda: demo.title == "grounder (paused): cat")
    demo.click("edit", 0, ["cat"])
    demo.press("s", "find: cats_")
    demo.click("cancel")
    demo.await_(lambda: demo.title == "grounder (paused): cat")
    held = snapshot(demo)
    demo.click("add", 0, ["cat"])
    demo.await_(lambda: demo.title.endswith("find also: _"))
    demo.type("dog")
    demo.click("accept")
    demo.await_(lambda: demo.title == "grounder (paused): cat; dog")
    demo.await_(lambda: difference(snapshot(demo), held) > 0)  # the held frame is grounded anew
    demo.resize(620, 410)  # smaller than what is drawn: a click means what is under it all the same
    demo.await_(lambda: demo.lit("pause") and demo.lit("why"))
    demo.click("quit")
    assert "frames in" in demo.end()


@needs_window
def test_a_name_is_taught_by_dragging_a_box(start: Callable[..., Demo]) -> None:
    demo = start("--source", CUP, "--phrase", "zorbl", "--device", "cpu", "--threads", 1)
    frame = np.asarray(cv2.imread(str(CUP)), np.uint8)
    frame_wh = (frame.shape[1], frame.shape[0])
    grounder = Grounder.load(device="cpu", threads=1)
    untaught = sdk.draw(frame, grounder.ground(frame, "zorbl"))
    assert difference(snapshot(demo), untaught) < 3
    demo.press("l", "(paused)")
    demo.await_(lambda: demo.lit("teach"))
    left, top, right, bottom = fitted(frame_wh, picture_area(demo.size_wh))
    scale = np.array([(right - left) / frame_wh[0], (bottom - top) / frame_wh[1]])
    corners = (np.reshape(CUP_BOX, (2, 2)) * scale + (left, top)).astype(int).tolist()
    start_at, end_at = (tuple(corner) for corner in corners)
    demo.drag(start_at, end_at)
    grounder.remember("zorbl", frame, dragged_box((start_at, end_at), frame_wh, demo.size_wh))
    taught = grounder.ground(frame, "zorbl")
    assert taught.found
    demo.await_(lambda: difference(snapshot(demo), sdk.draw(frame, taught)) < 3)
    demo.press("l", "grounder: zorbl")
    demo.xdotool("key", "q")
    demo.end()


@needs_window
def test_ctrl_c_keeps_what_is_recorded(
    start: Callable[..., Demo], pan: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    demo = start("--source", pan, "--phrase", "the dog", "--bundle", tiny_bundle)
    demo.xdotool("key", "r")
    demo.await_(lambda: demo.lit("record", RED))
    image, _ = compose(demo.size_wh, Scene(recorded=0.0), Controls(["a"], recording=True))
    left, top, right, bottom = button = demo.place("record")
    none = image[top:bottom, left:right]
    demo.await_(lambda: demo.lit("record", RED) and bool((demo.seen(button) != none).any()))
    demo.process.send_signal(signal.SIGINT)
    output = demo.end()
    (video,) = tmp_path.glob("recording-*.mp4")
    assert f"wrote {video.name}" in output
    frames = read_video(video)
    assert frames and frames[0].shape == (120, 160, 3)
    assert not list(tmp_path.glob(".*"))


@needs_window
def test_the_window_closes_after_so_many_frames(
    display: Display, pan: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    options = ["--source", pan, "--max-frames", 3, "--output", out, "--bundle", tiny_bundle]
    command = [*AS_FILE, *map(str, options)]
    done = run_process(command, env=display.environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 frames") and done.stdout.endswith(f"wrote {out}\n")
    assert len(read_video(out)) == 3
