"""Colours: which one a pixel has, and which one an object."""

from __future__ import annotations

import re

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.data.samples import Box

CLEAR_SHARE = 0.5
"""Least share of the pixels that must have the colour."""
_HUES = (("red", 8), ("orange", 20), ("yellow", 33), ("green", 85), ("blue", 130), ("purple", 150))
"""Upper ends of hues in steps of 2 degrees; what lies above is pink up to 168, then red again."""
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

COLOUR = re.compile(rf"\b({'|'.join(NAMES)}|gray)\b", re.IGNORECASE)


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
    rgb = torch.from_numpy(inner[..., ::-1].copy()).float()
    shares = pixel_colours(rgb.permute(2, 0, 1)[None]).mean((0, 2, 3))
    best = int(shares.argmax())
    return NAMES[best] if shares[best] >= CLEAR_SHARE else None


def pixel_colours(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) RGB from 0 to 255 -> (B, len(NAMES), H, W): 1.0 for a pixel's colour, else 0.0.

    By hue, saturation and value as in `cv2.cvtColor`, without its rounding.
    """
    red, green, blue = rgb.unbind(1)
    value, least = rgb.amax(1), rgb.amin(1)
    spread = (value - least).clamp(min=1e-3)
    hue = 120 + 30 * (red - green) / spread
    hue = torch.where(value == green, 60 + 30 * (blue - red) / spread, hue)
    hue = torch.where(value == red, 30 * (green - blue) / spread, hue)
    hue = torch.where(hue < 0, hue + 180, hue)
    saturation = 255 * (value - least) / value.clamp(min=1)
    pale = (saturation < 45) | (value < 50)
    brown = ~pale & ((hue < 20) | (hue > 168)) & (saturation > 60) & (value < 130)
    vivid = ~pale & ~brown
    colours = {
        "black": pale & (value < 65),
        "white": pale & (value >= 170),
        "grey": pale & (value >= 65) & (value < 170),
        "brown": brown,
        "pink": vivid & (hue >= 150) & (hue < 168),
    }
    low = 0
    for name, high in _HUES:
        colours[name] = vivid & (hue >= low) & (hue < high)
        low = high
    colours["red"] |= vivid & (hue >= 168)
    return torch.stack([colours[name] for name in NAMES], 1).to(rgb.dtype)
