"""docs/askings.md: every answer to the phrases of ordinary use, drawn and said, good and bad."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from benchmarks.asked import (
    ABSENT_FOUND,
    LEAST_OVERLAP,
    REFUSED,
    RIGHT,
    ROOT,
    TOLD_ABSENT,
    WRONG,
    Answer,
    Picture,
    report,
)
from sdk.inputs.frames import as_bgr
from sdk.outputs.drawing import WHITE, Colour, Image, draw, draw_dashed

PAGE = ROOT / "docs/askings.md"
PICTURES = ROOT / "docs/images/askings"
COLOURS: dict[str, Colour] = {
    RIGHT: (90, 220, 90),
    WRONG: (80, 90, 255),
    ABSENT_FOUND: (240, 110, 220),
}
"""BGR, of the outcomes that have a box."""
SAID = {
    RIGHT: "right",
    WRONG: "wrong box",
    REFUSED: "refused: it is there",
    TOLD_ABSENT: "right: it is not there",
    ABSENT_FOUND: "wrong: it is not there",
}
"""An outcome as the page says it."""

INTRODUCTION = f"""# Askings

<!-- Written by `python -m benchmarks.askings --page`. -->

Sixty phrases that a person might ask of twenty pictures. All phrases and boxes were chosen before
the model was asked, and none was dropped afterwards. An answer is right when the thing is found and
its box overlaps the true one by {LEAST_OVERLAP} (intersection over union). Of a phrase that means
several things, the box of one of them is right, and so is the box around all.

The boxes of the answers are green where they are right, red where they are wrong and pink where the
thing is not there. White dashes are the true boxes. A line at the bottom names what was not found.

One phrase in sixty is two points: these pictures show how the model fails, and the
[figures](results.md) how often. `benchmarks/askings/CREDITS.md` says which pictures
are photos and which are rendered.
"""


def drawn(picture: Picture, answers: Sequence[Answer]) -> Image:
    """Draw the answers and the true boxes.

    Args:
        picture: read from its file.
        answers: to its phrases.

    Returns:
        (H, W, 3) uint8 BGR, of the picture's size.

    Raises:
        FrameError: the picture cannot be read.
    """
    image = as_bgr(ROOT / picture.image).copy()
    for answer in answers:
        for box in answer.asking.boxes:
            draw_dashed(image, box, WHITE)
    # Only found results have a box, and so a colour; the others are lines of text.
    colours = [COLOURS.get(answer.outcome, WHITE) for answer in answers]
    return draw(image, [answer.result for answer in answers], colours=colours)


def caption(answer: Answer) -> str:
    """A list item: phrase, outcome, score, and the overlap where there is something to overlap."""
    overlap = f", overlap {answer.overlap:.2f}" if answer.asking.boxes else ""
    score = f"score {answer.result.score:.2f}"
    return f"- “{answer.asking.phrase}”: **{SAID[answer.outcome]}** ({score}{overlap})"


def section(picture: Picture, answers: Sequence[Answer]) -> str:
    """The Markdown of one picture."""
    name = Path(picture.image).stem
    title = name.replace("_", " ").capitalize()
    lines = "\n".join(map(caption, answers))
    return f"## {title}\n\n![The answers](images/askings/{name}.jpg)\n\n{lines}\n\n{picture.credit}"


def write_page(
    pictures: Sequence[Picture], answers: Sequence[Sequence[Answer]], record: dict[str, Any]
) -> None:
    """Write the page and its pictures.

    Args:
        pictures: all that were asked.
        answers: of each picture.
        record: with "machine", "bundle" and "counts" as in the JSON.

    Raises:
        FrameError: a picture cannot be read.
        OSError: a picture or the page cannot be written.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 80]  # OpenCV's own choice makes files of twice the size
    sections = []
    for picture, given in zip(pictures, answers, strict=True):
        _, data = cv2.imencode(".jpg", drawn(picture, given), quality)
        (PICTURES / Path(picture.image).name).write_bytes(data.tobytes())
        sections.append(section(picture, given))
    source = f"<sub>bundle {record['bundle']}, commit {record['machine']['commit']}</sub>"
    parts = [INTRODUCTION.rstrip(), report(record["counts"]), source, *sections]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written to {PAGE}")
