"""Where boxes are and how large."""

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
