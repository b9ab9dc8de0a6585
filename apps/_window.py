"""The demo's window, and what the keys do in it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sdk._opencv import cv2

TAB, ENTER, ESCAPE, SPACE = 9, 13, 27, 32
BACKSPACES = (8, 127)

HELP = (
    "Tab or Enter: another phrase (several: a dog; a cat)",
    "Space: pause | S: snapshot | H: this help | Q or Esc: quit",
)

# Qt without its own fonts, as in OpenCV's wheels, says so ten times; nothing here uses them.
os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")


@dataclass
class Controls:
    """What the user wants, changed key by key."""

    phrases: list[str]
    paused: bool = False
    helping: bool = False
    quitting: bool = False
    snapping: bool = False
    """A snapshot is wanted; whoever takes it sets this back."""
    typed: str | None = None
    """The phrase being typed; None when none is."""
    message: str = ""
    _before: list[str] = field(default_factory=list)

    @property
    def editing(self) -> bool:
        return self.typed is not None

    def press(self, key: int) -> None:
        """`key`: an ASCII code."""
        self.message = ""
        if self.typed is not None:
            self._type(key, self.typed)
        elif key in (TAB, ENTER):
            self.typed = ""
        elif key in (ESCAPE, ord("q"), ord("Q")):
            self.quitting = True
        elif key == SPACE:
            self.paused = not self.paused
        elif key in (ord("h"), ord("H")):
            self.helping = not self.helping
        elif key in (ord("s"), ord("S")):
            self.snapping = True

    def _type(self, key: int, typed: str) -> None:
        if key == ESCAPE:
            self.typed = None
        elif key == ENTER:
            phrases = [phrase.strip() for phrase in typed.split(";") if phrase.strip()]
            if phrases:
                self._before, self.phrases = self.phrases, phrases
            self.typed = None
        elif key in BACKSPACES:
            self.typed = typed[:-1]
        elif SPACE <= key < 127:
            self.typed = typed + chr(key)

    def reject(self, reason: str) -> None:
        """Go back to the phrases before the last change, which cannot be grounded."""
        self.phrases, self.message = self._before, reason

    def lines(self) -> list[str]:
        """What to write on the picture."""
        lines = [self.message] if self.message else []
        if self.typed is not None:
            lines += [f"find: {self.typed}_", "Enter: find it | Esc: cancel"]
        elif self.paused:
            lines.append("paused")
        return [*lines, *HELP] if self.helping else lines


class Window:
    """An OpenCV window. `sdk.display.require_display` must have been called."""

    def __init__(self, title: str, size_wh: Sequence[int]) -> None:
        self._title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        scale = min(1.0, 1280 / size_wh[0], 800 / size_wh[1])
        cv2.resizeWindow(
            title, max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))
        )

    def show(self, image: NDArray[np.uint8], seconds: float) -> int | None:
        """Show a (H, W, 3) uint8 BGR image for `seconds`, or less: until a key, then returned."""
        cv2.imshow(self._title, image)
        return ascii_key(cv2.waitKeyEx(max(1, int(seconds * 1000))))

    @property
    def closed(self) -> bool:
        """Whether the user closed it."""
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()


def ascii_key(code: int) -> int | None:
    """The ASCII code in what `cv2.waitKeyEx` gave, None for no key and for keys that have none.

    `cv2.waitKey` would cut the code to 8 bits, which turns the left arrow into a Q. GTK adds the
    modifiers above 16 bits, and X11 names Backspace, Tab, Enter and Escape 0xFF00 + ASCII.
    """
    key = code & 0xFFFF
    if code < 0 or key == 0:
        return None
    if key in (0xFF08, 0xFF09, 0xFF0D, 0xFF1B, 0xFF8D):  # the last one: Enter of the number pad
        key &= 0x7F
    key = ENTER if key == 10 else key
    return key if key < 128 else None
