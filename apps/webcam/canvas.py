"""A picture to draw controls on, which remembers where it can be clicked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk._internal.opencv import cv2
from sdk.outputs.drawing import BLACK, MUTED, WHITE, Colour, Pen, Rect, to_ascii

BACKGROUND: Colour = (32, 28, 26)
BUTTON: Colour = (62, 56, 52)
LIT: Colour = (96, 88, 82)
ACCENT: Colour = (60, 180, 255)
RED: Colour = (90, 100, 255)


class Target(NamedTuple):
    """A place to click."""

    rect: Rect
    name: str
    """Of what the click does: see `Controls.click`."""
    phrase: int = 0
    """Index of the phrase that it is done to."""


def target_at(targets: Sequence[Target], point: tuple[int, int]) -> Target | None:
    """The one drawn last of those at the point."""
    hit = (target for target in reversed(targets) if _inside(point, target.rect))
    return next(hit, None)


class Canvas:
    """`image`: (H, W, 3) uint8 BGR. `targets`: the later ones lie on top."""

    def __init__(self, size_wh: tuple[int, int], pointer: tuple[int, int] | None = None) -> None:
        self.image: NDArray[np.uint8] = np.full((size_wh[1], size_wh[0], 3), BACKGROUND, np.uint8)
        self.targets: list[Target] = []
        self.pen = self.pen_for(size_wh)
        self._pointer = pointer

    @staticmethod
    def pen_for(size_wh: tuple[int, int]) -> Pen:
        """The text of everything around the picture."""
        return Pen.of_height(max(11, round(min(size_wh[0] / 1.6, size_wh[1]) / 50)))

    def text(
        self, text: str, corner: tuple[int, int], colour: Colour, right: int | None = None
    ) -> None:
        """Write a row of text from its left top corner, shortened where it would pass `right`."""
        text = to_ascii(text)
        if right is not None:
            text = self.pen.fit(text, right - corner[0])
        self.pen.write(self.image, text, *corner, colour)

    def wrapped(self, text: str, room: int) -> list[str]:
        """The text in lines of at most `room` pixels; words are not broken, but shortened."""
        lines = [""]
        for word in to_ascii(text).split():
            longer = f"{lines[-1]} {word}".strip()
            if self.pen.width(longer) <= room:
                lines[-1] = longer
            else:
                lines.append(self.pen.fit(word, room))
        return [line for line in lines if line]

    def fill(self, rect: Rect, colour: Colour, opacity: float = 1.0) -> None:
        left, top, right, bottom = rect
        part = self.image[max(0, top) : bottom, max(0, left) : right]
        part[:] = part * (1 - opacity) + np.array(colour) * opacity

    def button(
        self, rect: Rect, target: Target, rows: Sequence[str], lit: Colour | None = None
    ) -> None:
        """A labelled button; its second row is muted. `lit`: the colour of one that is on."""
        left, top, right, bottom = rect
        self.targets.append(target)
        self.fill(rect, lit or (LIT if self.under_pointer(rect) else BUTTON))
        y = top + (bottom - top - len(rows) * self.pen.row) // 2
        for number, row in enumerate(rows):
            text = self.pen.fit(to_ascii(row), right - left)
            colour = BLACK if lit else MUTED if number else WHITE
            x = (left + right - self.pen.width(text)) // 2
            self.text(text, (x, y + number * self.pen.row), colour)

    def under_pointer(self, rect: Rect) -> bool:
        return self._pointer is not None and _inside(self._pointer, rect)

    def line(self, points: Sequence[tuple[int, int]], colour: Colour) -> None:
        """Join the points, (x, y) in pixels."""
        array = np.array(points, np.int32).reshape(-1, 1, 2)
        if len(points) > 1:
            cv2.polylines(self.image, [array], False, colour, 1, cv2.LINE_AA)


def _inside(point: tuple[int, int], rect: Rect) -> bool:
    return rect[0] <= point[0] < rect[2] and rect[1] <= point[1] < rect[3]
