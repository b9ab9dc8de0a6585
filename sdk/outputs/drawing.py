"""Draw results on a picture: a box and label per phrase, or a muted line where it is not found.

Sizes follow the picture's shorter side: text is readable on 160 x 120 and on 4000 x 3000 pixels.
"""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk._internal.files import replace_file
from sdk._internal.opencv import cv2
from sdk.errors import GroundingError
from sdk.inputs.frames import FrameLike, as_bgr
from sdk.results import Box, Grounding

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Rect = tuple[int, int, int, int]  # left, top, right, bottom in pixels

PALETTE: tuple[Colour, ...] = (
    (60, 180, 255),
    (255, 200, 60),
    (90, 220, 90),
    (220, 110, 240),
    (80, 90, 255),
    (255, 140, 110),
    (70, 240, 240),
    (200, 230, 140),
)
"""BGR, all light enough for black text."""
WHITE: Colour = (255, 255, 255)
MUTED: Colour = (175, 175, 175)
BLACK: Colour = (0, 0, 0)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_ASCII = str.maketrans(
    {"ß": "ss", "æ": "ae", "ø": "o", "ł": "l"}
    | dict.fromkeys("\u2018\u2019", "'")
    | dict.fromkeys("\u201c\u201d\u201e", '"')
)


def draw(
    frame: FrameLike,
    results: Grounding | Sequence[Grounding],
    *,
    header: Sequence[str] = (),
    colours: Sequence[Colour] = PALETTE,
) -> Image:
    """A copy of the frame, (H, W, 3) uint8 BGR, with the instances of its phrases drawn on it.

    Args:
        frame: as for `Grounder.ground`.
        results: what `ground` returns, one result or a list.
        header: lines of text for the top left corner.
        colours: the n-th result has the n-th, BGR; they begin anew where there are fewer.

    Raises:
        FrameError: the frame cannot be used.
    """
    image: Image = as_bgr(frame).copy()
    results = [results] if isinstance(results, Grounding) else results
    pen = Pen.for_image(image)
    coloured = [(result, colours[i % len(colours)]) for i, result in enumerate(results)]
    found = [
        (result.text, place, colour) for result, colour in coloured for place in result.instances
    ]
    boxes = [_pixels(place.box, image) for _, place, _ in found]
    for box, (_, _, colour) in zip(boxes, found, strict=True):
        cv2.rectangle(image, box[:2], box[2:], BLACK, pen.line + 2)
        cv2.rectangle(image, box[:2], box[2:], colour, pen.line)
    missing = [not_found(result) for result in results if not result.found]
    taken = draw_lines(image, header)
    taken += draw_lines(image, missing, colour=MUTED, at_bottom=True)
    for box, (text, place, colour) in zip(boxes, found, strict=True):
        label = text, f" {place.score:.2f}"
        taken.append(_draw_label(image, pen, label, box, colour, taken))
    return image


def not_found(result: Grounding) -> str:
    """A line about a result that is not found: it says which words are unknown."""
    line = f"not found: {result.text}"
    return f"{line} (unknown: {', '.join(result.unknown_words)})" if result.unknown_words else line


def draw_dashed(image: Image, box: Box, colour: Colour) -> None:
    """Draw a guess as a box in thin dashes, in pixels of the image, into `image` itself."""
    pen, (left, top, right, bottom) = Pen.for_image(image), _pixels(box, image)
    dash, line = max(4, pen.height // 2), max(1, pen.line // 2)
    cv2.rectangle(image, (left, top), (right, bottom), BLACK, line)
    for x in range(left, right + 1, 2 * dash):
        for y in (top, bottom):
            cv2.line(image, (x, y), (min(x + dash, right), y), colour, line)
    for y in range(top, bottom + 1, 2 * dash):
        for x in (left, right):
            cv2.line(image, (x, y), (x, min(y + dash, bottom)), colour, line)


def draw_lines(
    image: Image, lines: Sequence[str], *, colour: Colour = WHITE, at_bottom: bool = False
) -> list[Rect]:
    """Write lines of text on darkened strips into `image` itself, from its top or bottom left.

    A line that is too wide is shortened; of lines that are too many, the last ones are counted.

    Args:
        image: (H, W, 3) uint8 BGR.
        colour: BGR.

    Returns:
        The strips as (left, top, right, bottom) in pixels.
    """
    height, width = image.shape[:2]
    pen = Pen.for_image(image)
    room = max(1, height // pen.row)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} more"]
    first = max(0, height - pen.row * len(lines)) if at_bottom else 0
    strips = []
    for y, line in enumerate(lines):
        text = pen.fit(to_ascii(line), width - 2 * pen.pad)
        top, right = first + y * pen.row, min(pen.width(text) + 2 * pen.pad, width)
        strips.append((0, top, right, min(top + pen.row, height)))
        strip = image[top : top + pen.row, :right]
        strip[:] = strip // 4
        pen.write(image, text, pen.pad, top, colour)
    return strips


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Save a picture, whole or not at all, in the format its name ends with.

    Args:
        image: (H, W, 3) uint8 BGR.

    Raises:
        GroundingError: the name ends with no format of pictures, or the file cannot be written.
    """
    target = Path(path)
    try:
        encoded, data = cv2.imencode(target.suffix, image)
    except cv2.error:
        encoded = False
    if not encoded:
        raise GroundingError(
            f"expected a picture's file name, as out.jpg or out.png, got {str(path)!r}"
        )
    try:
        replace_file(target, data.tobytes())
    except OSError as error:
        raise GroundingError(f"cannot write the picture {str(path)!r}: {error.strerror}") from error


def to_ascii(text: str) -> str:
    """The nearest text OpenCV's fonts can show: accents dropped, the rest "?", on one line."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_ASCII))
    base = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(base.encode("ascii", "replace").decode("ascii").split())


@dataclass(frozen=True)
class Pen:
    """Font and line sizes in pixels, chosen for one picture."""

    scale: float
    thickness: int
    height: int
    pad: int
    line: int

    @classmethod
    def for_image(cls, image: Image) -> "Pen":
        """For text and boxes on this picture."""
        short = min(image.shape[:2])
        return cls.of_height(max(9, round(short / 38)), max(1, round(short / 220)))

    @classmethod
    def of_height(cls, height: int, line: int = 1) -> "Pen":
        """For text whose capitals are `height` pixels high, and lines `line` pixels wide."""
        (_, unit), _ = cv2.getTextSize("Ag", _FONT, 1.0, 1)  # OpenCV 4 and 5 differ
        return cls(
            scale=height / unit,
            thickness=max(1, round(height / 12)),
            height=height,
            pad=max(2, height // 3),
            line=line,
        )

    @property
    def row(self) -> int:
        """Height of a line of text with its padding, descenders included."""
        return self.height + 2 * self.pad + self.height // 4

    def width(self, text: str) -> int:
        (width, _), _ = cv2.getTextSize(text, _FONT, self.scale, self.thickness)
        return int(width)

    def fit(self, text: str, room: int, ending: str = "") -> str:
        """`text` + `ending`, with the text shortened until both fit into `room` pixels."""
        if self.width(text + ending) <= room:
            return text + ending
        while text and self.width(f"{text}...{ending}") > room:
            text = text[:-1].rstrip()
        return f"{text}...{ending}" if text else ending.strip()

    def write(self, image: Image, text: str, x: int, y: int, colour: Colour) -> None:
        """Write text into `image` itself.

        Args:
            x: left edge of the row in pixels.
            y: top edge of the row in pixels.
        """
        base = (x, y + self.pad + self.height)
        cv2.putText(image, text, base, _FONT, self.scale, colour, self.thickness, cv2.LINE_AA)


def _draw_label(
    image: Image,
    pen: Pen,
    label: tuple[str, str],
    box: Rect,
    colour: Colour,
    taken: Sequence[Rect],
) -> Rect:
    """Draw a label where it overlaps none of `taken`, if there is such a place; return the place.

    Args:
        label: text, and an ending that is never shortened.
    """
    height, width = image.shape[:2]
    text = pen.fit(to_ascii(label[0]), width - 2 * pen.pad, label[1])
    size_wh = min(pen.width(text) + 2 * pen.pad, width), min(pen.row, height)
    places = list(_places(box, size_wh, (width, height)))
    free = (place for place in places if not any(_overlap(place, other) for other in taken))
    left, top, right, bottom = place = next(free, places[0])
    image[top:bottom, left:right] = colour
    pen.write(image, text, left + pen.pad, top, BLACK)
    return place


def _places(box: Rect, size_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Iterator[Rect]:
    """Where a label may go, best first, each inside the frame: above, below, inside, any row."""
    (left, top, right, bottom), (width, height) = box, size_wh
    rows = [top - height, bottom, top, bottom - height, *range(0, frame_wh[1] - height + 1, height)]
    for y in rows:
        if 0 <= y <= frame_wh[1] - height:
            for x in (left, right - width):
                x = min(max(x, 0), frame_wh[0] - width)
                yield x, y, x + width, y + height


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _pixels(box: Box, image: Image) -> Rect:
    """The box in whole pixels inside the picture: `right` and `bottom` are the last ones."""
    height, width = image.shape[:2]
    left, top, right, bottom = (round(edge) for edge in box)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return left, top, min(max(right, left), width - 1), min(max(bottom, top), height - 1)
