"""A frame in parts that overlap, so that each thing is whole in one of them."""

import math
from collections.abc import Sequence

OVERLAP = 0.25
"""Least share of a tile's side that it has in common with the next one."""
EDGE = 3.0
"""Pixels from an edge at which a box ends that is cut there."""

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


def cut_by(box: Sequence[float], tile: Tile, size_wh: tuple[int, int]) -> bool:
    """Whether a box ends where its tile does, and the frame goes on there.

    Args:
        box: left, top, right, bottom in pixels of the frame.
    """
    near = (abs(edge - end) <= EDGE for edge, end in zip(box, tile, strict=True))
    inner = (tile[0] > 0, tile[1] > 0, tile[2] < size_wh[0], tile[3] < size_wh[1])
    return any(n and i for n, i in zip(near, inner, strict=True))
