"""The demos as a user starts them: their files, and a real window used by keys and mouse."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
from apps.video_file import VideoFile
from apps.webcam.canvas import ACCENT, RED
from apps.webcam.controls import TAB, Controls
from apps.webcam.overlay import Scene, canvas_wh, compose, panel_width
from sdk import Grounder, GroundingError
from sdk.outputs.drawing import Colour, Rect
from tests.paths import ROOT
from tests.videos import read_video

CAT = ROOT / "apps" / "assets" / "cat.jpg"
AS_FILE = [sys.executable, str(ROOT / "apps" / "webcam_demo.py")]
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
    output, errors = process.communicate()
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


# From here on: a real window.

HEADLESS = any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines())
NEEDS = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_window = pytest.mark.skipif(
    HEADLESS or bool(NEEDS),
    reason=f"needs {', '.join(NEEDS)}" if NEEDS else "this OpenCV has no windows",
)


SCREEN_WH = (1000, 700)
WAIT = 60.0  # seconds after which something that does not happen fails a test
KEYS = {" ": "space", ";": "semicolon", "\t": "Tab", "\n": "Return", "-": "minus"}


class Display:
    """A virtual X display whose pixels can be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        reader, writer = os.pipe()
        screen = ["-fbdir", str(folder), "-screen", "0", f"{SCREEN_WH[0]}x{SCREEN_WH[1]}x24"]
        self.server = subprocess.Popen(
            # -noreset: else it begins anew, deaf for a while, whenever its last client has gone.
            ["Xvfb", "-noreset", "-displayfd", str(writer), *screen],
            pass_fds=[writer],
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        with os.fdopen(reader) as numbers:
            self.environment = {**os.environ, "DISPLAY": f":{numbers.readline().strip()}"}

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) BGR: what is on the screen."""
        # An XWD file: of its header's 32-bit numbers the first is its length, then come the colours
        # of a palette, 12 bytes each, then 4 bytes a pixel.
        data = (self._folder / "Xvfb_screen0").read_bytes()
        header = np.frombuffer(data, ">u4", 25)
        begin = int(header[0] + 12 * header[19])
        rows = np.frombuffer(data, np.uint8, SCREEN_WH[1] * int(header[12]), begin)
        return rows.reshape(SCREEN_WH[1], -1, 4)[:, : SCREEN_WH[0], :3]


@pytest.fixture
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Display]:
    display = Display(tmp_path_factory.mktemp("screen"))
    yield display
    display.server.terminate()
    display.server.wait()


class Demo:
    """The demo in a window at the upper left of a display, used as a person would."""

    def __init__(self, display: Display, *arguments: object, cwd: Path) -> None:
        self.display, self.cwd = display, cwd
        self.process = subprocess.Popen(
            [*AS_FILE, *map(str, arguments)],
            cwd=cwd,
            env=display.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._id = ""
        self.await_(self._has_focus)

    def _has_focus(self) -> bool:
        """Gives it to the window as soon as that is on the screen."""
        self._id = self.xdotool("search", "--onlyvisible", "--name", "^grounder: ")
        return self._id != "" and (
            self.xdotool("getwindowfocus") == self._id
            or bool(self.xdotool("windowfocus", self._id))
        )

    def xdotool(self, *arguments: object) -> str:
        """Of `search`, nothing while there is no such window."""
        command = ["xdotool", *map(str, arguments)]
        done = subprocess.run(
            command, env=self.display.environment, capture_output=True, text=True, timeout=WAIT
        )
        return done.stdout.strip()

    def await_(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, self.title
            time.sleep(0.02)

    @property
    def title(self) -> str:
        return self.xdotool("getwindowname", self._id)

    @property
    def size_wh(self) -> tuple[int, int]:
        shape = self.xdotool("getwindowgeometry", "--shell", self._id).split()
        sides = dict(line.split("=") for line in shape)
        return int(sides["WIDTH"]), int(sides["HEIGHT"])

    def resize(self, width: int, height: int) -> None:
        self.xdotool("windowsize", "--sync", self._id, width, height)

    def press(self, key: str, title: str) -> None:
        """Press a key that makes the title contain `title`."""
        self.xdotool("key", KEYS.get(key, key))
        self.await_(lambda: title in self.title)

    def type(self, text: str) -> None:
        """Into the prompt. OpenCV loses all but the last of several keys: one after the other."""
        for end, character in enumerate(text, 1):
            self.press(character, f"{text[:end]}_")

    def place(self, name: str, phrase: int = 0, phrases: Sequence[str] = ("a", "b")) -> Rect:
        """Where a button is, in pixels of the window."""
        canvas = canvas_wh(self.size_wh)
        controls = Controls(phrases)
        if name in ("accept", "cancel"):
            controls.press(TAB)
        _, targets = compose(canvas, Scene(rates=("", "", "")), controls)
        (rect,) = (t.rect for t in targets if (t.name, t.phrase) == (name, phrase))
        scale = np.tile(np.array(self.size_wh) / canvas, 2)
        left, top, right, bottom = (np.array(rect) * scale).astype(int).tolist()
        return left, top, right, bottom

    def click(self, name: str, phrase: int = 0, phrases: Sequence[str] = ("a", "b")) -> None:
        left, top, right, bottom = self.place(name, phrase, phrases)
        self.xdotool("mousemove", (left + right) // 2, (top + bottom) // 2, "click", 1)

    def seen(self, rect: Rect) -> NDArray[np.uint8]:
        """The pixels of a part of the window."""
        return self.display.pixels()[rect[1] : rect[3], rect[0] : rect[2]]

    def lit(self, name: str, colour: Colour = ACCENT) -> bool:
        """Whether a button shows that something is on."""
        return bool((self.seen(self.place(name)) == colour).all(axis=-1).mean() > 0.5)

    def end(self) -> str:
        """Waits for it to end well. What it said."""
        output, errors = self.process.communicate(timeout=WAIT)
        assert (self.process.returncode, errors) == (0, "")
        return output


@pytest.fixture
def start(display: Display, tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demos in the test's folder."""
    demos: list[Demo] = []

    def start(*arguments: object) -> Demo:
        demos.append(Demo(display, *arguments, cwd=tmp_path))
        return demos[-1]

    yield start
    for demo in demos:
        demo.process.kill()
        demo.process.wait()


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
    done = subprocess.run(command, env=display.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 frames") and done.stdout.endswith(f"wrote {out}\n")
    assert len(read_video(out)) == 3
