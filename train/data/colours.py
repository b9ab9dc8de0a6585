"""The colour of a labelled object, read off its pixels, where a person would not hesitate."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.samples import Box

CLEAR_SHARE = 0.5
"""Least share of the pixels that must have the colour."""
_HUES = (("red", 8), ("orange", 20), ("yellow", 33), ("green", 85), ("blue", 130), ("purple", 150))
"""Upper ends of OpenCV's hues (0-179); what lies above is pink up to 168, then red again."""
NAMES = ("black", "white", "grey", "brown", *(name for name, _ in _HUES), "pink")
_ALIKE = (
    {"black", "grey"},
    {"white", "grey"},
    {"black", "brown"},
    {"red", "orange"},
    {"red", "brown"},
    {"red", "pink"},
    {"orange", "brown"},
    {"orange", "yellow"},
    {"yellow", "brown"},
    {"purple", "pink"},
    {"purple", "blue"},
)


def alike(a: str, b: str) -> bool:
    """True if one of the two may pass for the other."""
    return a == b or {a, b} in _ALIKE


def clear_colour(image: NDArray[np.uint8], box: Box) -> str | None:
    """Name of the colour that most of the inner part of `box` has, or None.

    Args:
        image: (H, W, 3) uint8 BGR.
        box: xyxy fractions; only its inner 60% is looked at, as corners show the background.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = 0.2 * (x2 - x1), 0.2 * (y2 - y1)
    inner = image[
        int((y1 + dy) * height) : max(int((y2 - dy) * height), int((y1 + dy) * height) + 1),
        int((x1 + dx) * width) : max(int((x2 - dx) * width), int((x1 + dx) * width) + 1),
    ]
    shares = np.bincount(named_pixels(inner).ravel(), minlength=len(NAMES)) / inner[..., 0].size
    best = int(shares.argmax())
    return NAMES[best] if shares[best] >= CLEAR_SHARE else None


def named_pixels(image: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(H, W, 3) BGR -> (H, W) indices into NAMES."""
    hue, saturation, value = cv2.split(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV))
    ends = [end for _, end in _HUES] + [168, 180]
    names = [*(NAMES.index(name) for name, _ in _HUES), NAMES.index("pink"), NAMES.index("red")]
    named = np.array(names)[np.searchsorted(ends, hue, side="right").clip(0, len(names) - 1)]
    warm = (hue < 20) | (hue > 168)
    named[warm & (saturation > 60) & (value < 130)] = NAMES.index("brown")
    pale = (saturation < 45) | (value < 50)
    named[pale & (value >= 170)] = NAMES.index("white")
    named[pale & (value < 170)] = NAMES.index("grey")
    named[pale & (value < 65)] = NAMES.index("black")
    return named
