"""Moves boxes along with the picture, from one frame to another.

Median flow: a grid of points in the box is followed by pyramidal Lucas-Kanade and back again; the
points that return to where they started move the box by their median shift and scale. After
Z. Kalal, K. Mikolajczyk and J. Matas, "Forward-Backward Error: Automatic Detection of Tracking
Failures", ICPR 2010.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sdk._internal.opencv import cv2
from sdk.geometry.boxes import clip_xyxy

Grey = NDArray[np.uint8]
Box = NDArray[np.float64]


POINTS = 7
"""Along a box's side. With many boxes it is fewer: at most some 300 in all, 4 a side."""
WINDOW = 11
"""Side of the patch that is followed, in pixels."""
RETURN_ERROR = 1.0
"""Pixels by which a point may miss its start on the way back."""


def carry(previous: Grey, current: Grey, boxes: Box) -> tuple[Box, NDArray[np.bool_]]:
    """Move boxes along with the picture, from `previous` to `current`.

    Args:
        previous: (H, W).
        current: (H, W).
        boxes: (N, 4) xyxy, in pixels of the pictures.

    Returns:
        The boxes, and (N,) whether each could be followed; one that could not stays in place.
    """
    followed = np.zeros(len(boxes), bool)
    if not len(boxes) or previous.shape != current.shape:
        return boxes, followed
    grids = _grids(boxes, previous.shape)  # (N, P, 2)
    start = grids.reshape(-1, 1, 2)
    there, kept = _follow(previous, current, start)
    back, returned = _follow(current, previous, there)
    miss = np.linalg.norm(back - start, axis=2).ravel()
    height, width = current.shape
    good = (
        (kept.ravel() == 1)
        & (returned.ravel() == 1)
        & (miss <= RETURN_ERROR)
        & ((there >= 0) & (there < (width, height))).all(axis=(1, 2))
    ).reshape(grids.shape[:2])
    moved = boxes.copy()
    ends = there.reshape(grids.shape)
    for index, (box, mask) in enumerate(zip(boxes, good, strict=True)):
        if mask.sum() >= max(6, mask.size / 6):
            moved[index] = _shift_and_scale(box, grids[index, mask], ends[index, mask])
            followed[index] = True
    return moved, followed


def _grids(boxes: Box, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(N, P, 2): points in the visible part of each box, away from its edges, which are not it."""
    side = min(POINTS, max(4, math.isqrt(300 // len(boxes))))
    corners = clip_xyxy(boxes, (shape[1], shape[0])).reshape(-1, 2, 1, 2)
    steps = np.linspace(0.1, 0.9, side)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    inside = corners[:, 0] + grid * (corners[:, 1] - corners[:, 0])
    return inside.astype(np.float32)


def _follow(
    previous: Grey, current: Grey, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    ends, kept, _ = cv2.calcOpticalFlowPyrLK(
        previous,
        current,
        points,
        np.empty_like(points),
        winSize=(WINDOW, WINDOW),
        maxLevel=3,
    )
    return np.asarray(ends, np.float32), np.asarray(kept, np.uint8)


def _shift_and_scale(box: Box, start: NDArray[np.float32], end: NDArray[np.float32]) -> Box:
    first, second = np.triu_indices(len(start), k=1)
    before = np.linalg.norm(start[first] - start[second], axis=1)
    after = np.linalg.norm(end[first] - end[second], axis=1)
    apart = before > 0
    scale = float(np.median(after[apart] / before[apart])) if apart.any() else 1.0
    shift = np.median(end - start, axis=0)
    # The shift is that of the points, whose middle is not the box's where only a part is followed.
    pivot = start.mean(axis=0)
    moved: Box = ((box.reshape(2, 2) - pivot) * scale + pivot + shift).ravel()
    return moved


def reduced(frame: NDArray[np.uint8], factor: int) -> Grey:
    """(H // factor, W // factor): by a whole number, which OpenCV averages fast and exactly."""
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    whole = frame[: height * factor, : width * factor]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
