"""The forms in which referring-expression datasets are passed around, as expressions with a box."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from train.data.own import OTHER
from train.data.samples import REFERRING, Box, DataError, as_box

XYXY_DATASETS = ("referit", "flickr")
"""TransVG's datasets whose boxes are corners already."""
CAPTIONS = "flickr"
"""In the name of an index whose phrases are parts of captions."""


class Line(NamedTuple):
    """One expression: file name of the picture, phrase, (x1, y1, x2, y2) in pixels, not clipped."""

    image: str
    phrase: str
    box: Box
    kind: str = REFERRING


def corners(xywh: Iterable[float]) -> Box:
    """Left, top, width, height -> xyxy."""
    x, y, width, height = map(float, xywh)
    return x, y, x + width, y + height


def around(boxes: Sequence[Box]) -> Box:
    """The box around several, all xyxy."""
    return as_box(union_xyxy(boxes))


def union_xyxy(boxes: ArrayLike) -> NDArray[np.floating[Any]]:
    """The smallest box around all of them: (N, 4) -> (4,).

    Raises:
        ValueError: N is 0.
    """
    edges = np.asarray(boxes).reshape(-1, 4)
    if not len(edges):
        raise ValueError("expected at least one box, got none")
    return np.concatenate([edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)])


def from_mdetr(path: Path) -> Iterator[Line]:
    """Every expression of an MDETR file.

    An annotation of Flickr30k's files names its phrase by `tokens_positive`, spans of the caption.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    captions = CAPTIONS in path.name
    boxes: dict[Any, list[Box]] = {}
    for found in record["annotations"]:
        spans = tuple(map(tuple, found["tokens_positive"])) if captions else ()
        boxes.setdefault((found["image_id"], spans), []).append(corners(found["bbox"]))
    if not captions and len(boxes) < len(record["annotations"]):
        raise DataError(f"{path}: expected one box an expression, got several for some")
    if not captions:
        for image in record["images"]:
            yield Line(image["file_name"], image["caption"], around(boxes[image["id"], ()]))
        return
    images = {image["id"]: image for image in record["images"]}
    for (number, spans), several in boxes.items():
        image = images[number]
        phrase = " ".join(image["caption"][start:end] for start, end in spans)
        yield Line(image["file_name"], phrase, around(several), OTHER)


def from_refer(path: Path, refs: Any, split: str) -> Iterator[Line]:
    """The expressions of one split of `refs(<by>).p`; `instances.json` lies beside it.

    Raises:
        DataError: no such split.
    """
    splits = sorted({ref["split"] for ref in refs})
    if split not in splits:
        raise DataError(f"--split: expected one of {', '.join(splits)}, got {split!r}")
    instances = json.loads((path.parent / "instances.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in instances["images"]}
    boxes = {a["id"]: a["bbox"] for a in instances["annotations"]}
    for ref in refs:
        if ref["split"] == split:
            for sentence in ref["sentences"]:
                box = corners(boxes[ref["ann_id"]])
                yield Line(names[ref["image_id"]], sentence["sent"], box)


def from_transvg(path: Path, entries: Any) -> Iterator[Line]:
    """Every expression of a TransVG index; the dataset is the first part of the file's name."""
    are_corners = path.name.startswith(XYXY_DATASETS)
    kind = OTHER if path.name.startswith(CAPTIONS) else REFERRING
    for entry in entries:
        image, phrase = entry[0], entry[2] if len(entry) == 3 else entry[3]
        numbers = [float(v) for v in (entry[1] if len(entry) == 3 else entry[2])]
        x1, y1, x2, y2 = numbers if are_corners else corners(numbers)
        yield Line(image, phrase, (x1, y1, x2, y2), kind)
