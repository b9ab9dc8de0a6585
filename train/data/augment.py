"""Augmentation that keeps language true: crops keep every target, flips swap left and right.

The common code of the field swaps substrings ("bright" becomes "bleft") and checks only some sides
of the crop; here words are whole words and a crop contains every target box.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from train.data.samples import Box, Photo

_PAIRS = (
    *(("left", "right"), ("leftmost", "rightmost"), ("leftside", "rightside")),
    *(("lefthand", "righthand"), ("leftest", "rightest"), ("lft", "rt")),
)
"""With the shorthand of RefCOCO."""
_SIDES = {**dict(_PAIRS), **{right: left for left, right in _PAIRS}, "lt": "rt", "rgt": "lft"}
_NO_SIDE = (
    r"right(?=\s+(?:behind|beside|beneath|next|under|underneath|below|above|over|before|after|"
    r"between|by|in\s+front|at\s+the\s+(?:top|bottom|front|back|edge))\b)"
)
""" "Right behind the car" is no side: it means just behind it, also in the mirror."""
_SIDE_WORDS = re.compile(rf"\b(?!{_NO_SIDE})({'|'.join(_SIDES)})\b", re.IGNORECASE)
_PLACE_WORDS = re.compile(
    rf"\b({'|'.join(_SIDES)}|middle|center|centre|top|bottom|first|second|third|fourth|"
    r"fifth|big\w*|small\w*|large\w*)\b",
    re.IGNORECASE,
)


def swap_sides(text: str) -> str:
    """The phrase as it reads in the mirror image; the case of the first letter is kept."""

    def swap(match: re.Match[str]) -> str:
        word = match.group(0)
        other = _SIDES[word.lower()]
        return other.capitalize() if word[0].isupper() else other

    return _SIDE_WORDS.sub(swap, text)


def is_relative(text: str) -> bool:
    """True if the phrase compares places or sizes: a crop may remove what it is compared with."""
    return _PLACE_WORDS.search(text) is not None


def flip(photo: Photo, image: NDArray[np.uint8]) -> tuple[Photo, NDArray[np.uint8]]:
    """The photo and its (H, W, 3) image mirrored left to right, words included."""
    expressions = tuple(
        replace(
            e,
            text=swap_sides(e.text),
            boxes=tuple(map(mirror, e.boxes)),
            context=tuple(map(mirror, e.context)),
        )
        for e in photo.expressions
    )
    instances = tuple(replace(i, box=mirror(i.box)) for i in photo.instances)
    return replace(photo, expressions=expressions, instances=instances), image[:, ::-1]


def mirror(box: Box) -> Box:
    """An xyxy box in fractions, as it lies in the mirror image."""
    x1, y1, x2, y2 = box
    return 1 - x2, y1, 1 - x1, y2


def crop_keeping(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], rng: random.Random, least: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A random crop around all (N, 4) xyxy fraction boxes, at least `least` of each side."""
    height, width = image.shape[:2]
    window: list[tuple[int, int]] = []
    for axis, size in ((0, width), (1, height)):
        low = float(boxes[:, axis].min()) if len(boxes) else 0.5
        high = float(boxes[:, axis + 2].max()) if len(boxes) else 0.5
        start = rng.uniform(0, min(low, 1 - least))
        end = rng.uniform(max(high, start + least), 1)
        window.append((int(start * size), max(int(np.ceil(end * size)), int(start * size) + 1)))
    (x1, x2), (y1, y2) = window
    scale = np.array([width, height, width, height], np.float32)
    moved = boxes * scale - np.array([x1, y1, x1, y1], np.float32)
    size = np.array([x2 - x1, y2 - y1] * 2, np.float32)
    return image[y1:y2, x1:x2], moved / size


def jitter(image: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """Random brightness and contrast, so little that colours keep their names."""
    gain, offset = rng.uniform(0.8, 1.2), rng.uniform(-10, 10)
    return np.clip(image.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)


def all_boxes(boxes_of_targets: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """(N, 4) float32, also for N = 0."""
    return np.array(boxes_of_targets, np.float32).reshape(-1, 4)
