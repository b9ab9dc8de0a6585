"""A frame in parts that overlap, so that each thing is whole in one of them."""

import math
from collections.abc import Sequence

OVERLAP = 0.25
"""Least share of a tile's side that it has in common with the next one."""
LEAST_SIDE = 16.0
"""Pixels of a box that a window is made around: in a smaller window there is nothing to see."""

Tile = tuple[int, int, int, int]


def tiles(size_wh: tuple[int, int], parts: int) -> list[Tile]:
    """(left, top, right, bottom) of tiles whose sides are a `parts`-th of the frame's longer one.

    Row by row. A frame of 1920 x 1080 has 6 tiles of 2 parts, 8 of 3 and 15 of 4.
    """
    side = math.ceil(max(size_wh) / parts)
    width, height = (min(side, length) for length in size_wh)
    across, down = _starts(size_wh[0], width), _starts(size_wh[1], height)
    return [(x, y, x + width, y + height) for y in down for x in across]


def _starts(length: int, part: int) -> list[int]:
    if part >= length:
        return [0]
    gaps = math.ceil((length - part) / (part * (1 - OVERLAP)))
    return [round(i * (length - part) / gaps) for i in range(gaps + 1)]


def window(box: Sequence[float], factor: float, size_wh: tuple[int, int]) -> Tile:
    """A square around a box, moved and cut to the frame.

    Args:
        box: left, top, right, bottom in pixels of the frame.
        factor: its side in longer sides of the box.
        size_wh: of the frame.
    """
    side = factor * max(box[2] - box[0], box[3] - box[1], LEAST_SIDE)
    starts, ends = [], []
    for low, high, length in zip(box[:2], box[2:], size_wh, strict=True):
        part = min(math.ceil(side), length)
        start = min(max(0, round((low + high - part) / 2)), length - part)
        starts.append(start)
        ends.append(start + part)
    return starts[0], starts[1], ends[0], ends[1]
