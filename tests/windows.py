"""What tests of windows share: a display of their own, and the webcam demo on it, to be used."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.webcam.canvas import ACCENT
from apps.webcam.controls import Controls
from apps.webcam.overlay import canvas_wh, compose
from apps.webcam.scene import Scene
from sdk.outputs.drawing import Colour, Rect
from tests.paths import ROOT
from tests.waiting import WAIT, run_process

AS_FILE = [sys.executable, str(ROOT / "apps" / "webcam_demo.py")]

HEADLESS = any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines())
NEEDS = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_window = pytest.mark.skipif(
    HEADLESS or bool(NEEDS),
    reason=f"needs {', '.join(NEEDS)}" if NEEDS else "this OpenCV has no windows",
)

TAB = 9
SCREEN_WH = (1000, 700)
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
    display.server.wait(WAIT)


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
        done = run_process(command, env=self.display.environment)
        return done.stdout.strip()

    def await_(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT
        while not condition():
            assert self.process.poll() is None, self.process.communicate(timeout=WAIT)
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

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """With the left button held down, in pixels of the window."""
        self.xdotool("mousemove", *start, "mousedown", 1)
        self.xdotool("mousemove", *end, "mouseup", 1)

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
        demo.process.wait(WAIT)
