"""Box formats and overlaps, in NumPy.

The last axis is always 4. `cxcywh` is centre, width, height; `xyxy` is the left, top, right and
bottom edge. All functions work in any unit, pixels or fractions, and keep a floating dtype.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.floating[Any]]


def _as_boxes(boxes: ArrayLike) -> Boxes:
    array = np.asarray(boxes)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"expected boxes of shape (..., 4), got {array.shape}")
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def cxcywh_to_xyxy(boxes: ArrayLike) -> Boxes:
    """(..., 4) centre and size -> (..., 4) edges."""
    boxes = _as_boxes(boxes)
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def xyxy_to_cxcywh(boxes: ArrayLike) -> Boxes:
    """(..., 4) edges -> (..., 4) centre and size."""
    boxes = _as_boxes(boxes)
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(top_left + bottom_right) / 2, bottom_right - top_left], axis=-1)


def clip_xyxy(boxes: ArrayLike, size_wh: tuple[float, float]) -> Boxes:
    """Move the edges of (..., 4) boxes into [0, width] x [0, height]."""
    boxes = _as_boxes(boxes)
    width, height = size_wh
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


def iou_xyxy(a: ArrayLike, b: ArrayLike) -> Boxes:
    """Intersection over union of every pair: (N, 4) and (M, 4) -> (N, M) in [0, 1].

    Boxes without an area overlap nothing: their IoU is 0, also with themselves.
    """
    a, b = _as_boxes(a), _as_boxes(b)
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = _area(np.concatenate([top_left, bottom_right], axis=-1))
    union = _area(a)[:, None] + _area(b)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _area(boxes: Boxes) -> Boxes:
    """(..., 4) xyxy -> (...), 0 where an edge is on the wrong side of its opposite."""
    size = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    area: Boxes = size[..., 0] * size[..., 1]
    return area
