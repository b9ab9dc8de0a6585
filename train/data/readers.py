"""Readers of a data folder. Its path comes from the user.

    root/train.jsonl, val.jsonl                         expressions of one's own, see `own.py`; or
    root/flickr30k_entities/{train,val}.jsonl, images/  Flickr30k Entities in JSONL form
    root/detection/boxes.jsonl, images/                 labelled boxes; may be left out
    root/unlabelled/images/                             more photos, for pseudo-labels
    root/yardsticks/                                    questions, see `train.yardsticks.lists`

`root` is `--data` or the environment variable GROUNDER_DATA.
"""

from __future__ import annotations

import os
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from sdk.errors import FrameError
from sdk.inputs.frames import as_bgr
from train.data.colours import clear_colour
from train.data.own import has_own, read_own
from train.data.people import people_instances
from train.data.samples import DataError, Expression, Instance, Photo, read_jsonl

DATA_ENVIRONMENT = "GROUNDER_DATA"
HELD_BACK_PERCENT = 10
"""Share of the detection photos kept for evaluation, chosen by the hash of the file name."""
YARDSTICK_SOURCE = "coco_bits"
"""Source of the detection photos that belong to `train.yardsticks` and so to no split."""


def data_root(flag: str | Path | None) -> Path:
    """The data folder from the flag or the environment.

    Raises:
        DataError: neither is given, or the folder is not there.
    """
    value = flag or os.environ.get(DATA_ENVIRONMENT)
    if not value:
        raise DataError(f"no data folder given: pass --data FOLDER or set {DATA_ENVIRONMENT}")
    root = Path(value)
    if not root.is_dir():
        raise DataError(f"--data: expected a folder, got {root}, which does not exist")
    return root


def read_box(value: Any, where: str) -> tuple[float, float, float, float]:
    """A checked xyxy box in fractions, clipped to the photo.

    Raises:
        DataError: not four ordered numbers.
    """
    try:
        x1, y1, x2, y2 = (min(max(float(v), 0.0), 1.0) for v in value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected a box [x1, y1, x2, y2], got {value!r}") from error
    if x1 >= x2 or y1 >= y2:
        raise DataError(f"{where}: expected x1 < x2 and y1 < y2 in fractions, got {value!r}")
    return x1, y1, x2, y2


def read_expressions(root: Path, split: str) -> list[Photo]:
    """Photos of one split with their referring expressions, of one's own or Flickr30k Entities.

    Raises:
        DataError: no such data, or a line that is not as expected.
    """
    return read_own(root, split) if has_own(root) else read_flickr30k(root, split)


def read_flickr30k(root: Path, split: str) -> list[Photo]:
    """Photos of one split with their caption phrases."""
    folder = root / "flickr30k_entities"
    path = folder / f"{split}.jsonl"
    photos = []
    for number, record in read_jsonl(path):
        where = f"{path}:{number}"
        try:
            expressions = tuple(
                caption_phrase(phrase, where) for phrase in record["phrases"] if phrase["boxes"]
            )
            image = folder / "images" / record["image"]
            photos.append(Photo(image, expressions, people_instances(expressions)))
        except KeyError as error:
            raise DataError(f"{where}: expected the key {error}") from error
    return photos


def caption_phrase(phrase: dict[str, Any], where: str) -> Expression:
    """An element of a record's "phrases".

    Raises:
        DataError: a bad box.
        KeyError: a key is missing.
    """
    return Expression(
        text=phrase["phrase"],
        boxes=tuple(read_box(box, where) for box in phrase["boxes"]),
        kind=phrase["types"][0] if phrase["types"] else "other",
    )


def read_detection(root: Path, split: str) -> list[Photo]:
    """Photos with labelled instances; `split` is "train" or "val" (held back, by photo).

    Photos of YARDSTICK_SOURCE are in neither. Empty where `root` has no labelled boxes.

    Raises:
        DataError: a line is not as expected, or a photo is not there or not an image.
    """
    folder = root / "detection"
    path = folder / "boxes.jsonl"
    if not path.is_file():
        return []
    records = list(read_jsonl(path))
    labels_of_source: dict[str, set[str]] = defaultdict(set)
    photos = []
    try:
        for _, record in records:
            labels_of_source[record["source"]].update(o["label"] for o in record["objects"])
        for number, record in records:
            if record["source"] == YARDSTICK_SOURCE:
                continue
            if is_held_back(record["image"]) != (split == "val"):
                continue
            image = folder / "images" / record["image"]
            pixels = as_bgr(image)
            instances = []
            for thing in record["objects"]:
                box = read_box(thing["box"], f"{path}:{number}")
                instances.append(Instance(thing["label"], box, clear_colour(pixels, box)))
            known = frozenset(labels_of_source[record["source"]])
            photos.append(Photo(image, (), tuple(instances), known))
    except KeyError as error:
        raise DataError(f"{path}: a record lacks the key {error}") from error
    except FrameError as error:
        raise DataError(f"{path}: {error}") from error
    return photos


def is_held_back(name: str) -> bool:
    """True for the detection photos that are never trained on."""
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big") % 100 < HELD_BACK_PERCENT
