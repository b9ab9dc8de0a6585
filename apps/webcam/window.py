"""The demo's window: shows pictures, gives keys and clicks."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.webcam.controls import ENTER
from sdk._internal.closing import Closing
from sdk._internal.opencv import cv2

Point = tuple[int, int]
Drag = tuple[Point, Point]

LEAST_DRAG = 8
"""Pixels from which a moved mouse did not click."""

# Qt without its own fonts, as in OpenCV's wheels, says so ten times; nothing here uses them.
os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")


class Window(Closing):
    """An OpenCV window. `sdk.outputs.display.require_display` must have been called."""

    def __init__(self, name: str, size_wh: Sequence[int]) -> None:
        """`name`: its title, until another is set. `size_wh`: of its picture area, in pixels."""
        self._name = self._title = name
        self._size_wh = (size_wh[0], size_wh[1])
        self._drags: list[Drag] = []
        self._pressed: Point | None = None
        self.pointer: Point | None = None
        """Where the mouse is, in pixels of the picture shown."""
        # A free ratio: what is shown is drawn to fit. A kept one would add borders of its own.
        cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(name, *self._size_wh)
        cv2.setMouseCallback(name, self._on_mouse)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of its picture area now, in pixels of the screen. A picture of any size fills it."""
        _, _, width, height = cv2.getWindowImageRect(self._name)
        if width > 0 and height > 0:  # not every toolkit says it
            self._size_wh = (width, height)
        return self._size_wh

    @property
    def title(self) -> str:
        return self._title

    @title.setter
    def title(self, title: str) -> None:
        if title != self._title:
            self._title = title
            cv2.setWindowTitle(self._name, title)

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show a (H, W, 3) uint8 BGR image from the next `key` on."""
        cv2.imshow(self._name, image)

    def key(self, seconds: float) -> int | None:
        """Wait that long for a key; its ASCII code. OpenCV loses all but the last of several keys
        that come while nobody waits here."""
        return ascii_key(cv2.waitKeyEx(max(1, int(seconds * 1000))))

    def drags(self) -> list[Drag]:
        """Where the mouse was pressed and let go since the last call, in pixels of the picture
        shown; a click begins where it ends."""
        drags, self._drags = self._drags, []
        return drags

    @property
    def dragging(self) -> Drag | None:
        """Where the mouse was pressed and where it is, while it is held down."""
        if self._pressed is None or self.pointer is None:
            return None
        return self._pressed, self.pointer

    @property
    def closed(self) -> bool:
        """Whether the user closed it."""
        return cv2.getWindowProperty(self._name, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        cv2.destroyAllWindows()

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        # OpenCV gives pixels of the picture, whatever the window's size. Of a double click some
        # toolkits give one press only, but all give two releases.
        self.pointer = x, y
        if event == cv2.EVENT_LBUTTONDOWN:
            self._pressed = x, y
        elif event == cv2.EVENT_LBUTTONUP:
            start, self._pressed = self._pressed or (x, y), None
            moved = max(abs(x - start[0]), abs(y - start[1])) >= LEAST_DRAG
            self._drags.append((start if moved else (x, y), (x, y)))


def ascii_key(code: int) -> int | None:
    """The ASCII code in what `cv2.waitKeyEx` gave, None for no key and for keys that have none.

    `cv2.waitKey` would cut the code to 8 bits, which turns the left arrow into a Q. GTK adds the
    modifiers above 16 bits, and X11 names Backspace, Tab, Enter, Escape and Delete 0xFF00 + ASCII.
    """
    key = code & 0xFFFF
    if code < 0 or key == 0:
        return None
    if key in (0xFF08, 0xFF09, 0xFF0D, 0xFF1B, 0xFF8D, 0xFFFF):  # 0xFF8D: Enter of the number pad
        key &= 0x7F
    key = ENTER if key == 10 else key
    return key if key < 128 else None
