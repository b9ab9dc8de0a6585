"""Data of one's own: `train.jsonl` and `val.jsonl`, one referring expression a line.

    {"image": "images/0001.jpg", "phrase": "the mug behind the laptop", "box": [40, 60, 210, 300]}

`image` is relative to the file, `box` is xyxy in pixels of the image as it is shown (after its EXIF
orientation), null where the thing is not in the picture. Lines of one image need not be together.
A line may have a `kind`, by which accuracies are told apart. "referring", as `train.data.convert`
writes it of RefCOCO, says that the lines of an image name only some of what is visible: training
makes up nothing that is absent then, see `negatives.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.errors import FrameError, PhraseError
from sdk.inputs.frames import as_bgr
from sdk.inputs.phrases import as_phrases
from train.data.samples import REFERRING, Box, DataError, Expression, Photo, read_jsonl

OTHER = "other"
"""The kind of a line that says none."""


def has_own(root: Path, *splits: str) -> bool:
    """True if `root` holds one of the splits, by default train or val, in this form."""
    return any((root / f"{split}.jsonl").is_file() for split in splits or ("train", "val"))


def read_own(root: Path, split: str) -> list[Photo]:
    """Photos of one split with their expressions, in the order of their first line.

    Raises:
        DataError: names the file and the line that is not as expected.
    """
    path = root / f"{split}.jsonl"
    sizes: dict[Path, tuple[int, int]] = {}
    expressions: dict[Path, list[Expression]] = {}
    for number, record in read_jsonl(path):
        where = f"{path}:{number}"
        missing = {"image", "phrase", "box"} - record.keys()
        if missing:
            raise DataError(f"{where}: expected the keys image, phrase and box, {missing} missing")
        image = path.parent / str(record["image"])
        try:
            (phrase,) = as_phrases([record["phrase"]])
            if image not in sizes:
                height, width = as_bgr(image).shape[:2]
                sizes[image] = (width, height)
        except (FrameError, PhraseError) as error:
            raise DataError(f"{where}: {error}") from error
        box = None if record["box"] is None else pixel_box(record["box"], sizes[image], where)
        kind = record.get("kind", OTHER)
        if not isinstance(kind, str) or not kind:
            raise DataError(f"{where}: expected a kind like {REFERRING!r}, got {kind!r}")
        boxes = () if box is None else (box,)
        expressions.setdefault(image, []).append(Expression(phrase, boxes, kind))
    if not any(e.boxes for found in expressions.values() for e in found):
        raise DataError(f"{path}: expected at least one line with a box, got {len(sizes)} photos")
    return [Photo(image, tuple(found)) for image, found in expressions.items()]


def pixel_box(value: Any, size_wh: tuple[int, int], where: str) -> Box:
    """A checked xyxy box in pixels as fractions of the image.

    Raises:
        DataError: not four ordered numbers inside the image.
    """
    width, height = size_wh
    try:
        if isinstance(value, str):
            raise TypeError("text")
        x1, y1, x2, y2 = map(float, value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected a box [x1, y1, x2, y2], got {value!r}") from error
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise DataError(
            f"{where}: expected x1 < x2 and y1 < y2 in pixels of an image of {width}x{height}, got "
            f"{value}; is it x, y, width, height, or fractions?"
        )
    return x1 / width, y1 / height, x2 / width, y2 / height
