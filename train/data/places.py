"""Where boxes are, how large, and how they lie to each other."""

from __future__ import annotations

from train.data.samples import Box

POSITION_MARGIN = 0.08
"""Least distance between two centres, as a fraction of the photo, to be told apart by place."""


def area(box: Box) -> float:
    """Area of an xyxy box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def center(box: Box, axis: int) -> float:
    """Centre of an xyxy box along x (0) or y (1)."""
    return (box[axis] + box[axis + 2]) / 2


def turned(box: Box) -> Box:
    """An xyxy box in fractions, as it lies in the picture upside down."""
    x1, y1, x2, y2 = box
    return 1 - x2, 1 - y2, 1 - x1, 1 - y1


def gap(a: Box, b: Box) -> float:
    """Distance between the nearest points of two boxes, in fractions of the photo; 0 = touching."""
    x = max(a[0] - b[2], b[0] - a[2], 0.0)
    y = max(a[1] - b[3], b[1] - a[3], 0.0)
    return float((x * x + y * y) ** 0.5)


def shared(a: Box, b: Box) -> float:
    """Area that two boxes share, in fractions of the photo."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
