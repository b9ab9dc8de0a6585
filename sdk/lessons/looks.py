"""What is in a box, as numbers that a lesson is learned from.

Visual tokens of a bundle with a detector hold, for each cell of the grid, the scene's features,
their narrow form, what the detector sees at seven places, and shares of eleven colours. The narrow
form repeats the scene, and boxes say where and not what: both are left out.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.contract import CLASSES, COLOURS, DETECTIONS, PLACES

MIDDLE = 0.3
"""Of a box's side: where the weight of a cell has fallen to 1/e, seen from the box's centre."""

Array = NDArray[np.floating[Any]]


def looks(visual_tokens: Array, boxes_cxcywh: Array) -> NDArray[np.float32]:
    """(1, N, Dv) visual tokens and (K, 4) boxes, fractions of the frame -> (K, F) float32.

    Means over the middle of each box: features, probabilities of the detector's classes, shares of
    the colours; and the logarithms of its width and height.
    """
    cells = cell_looks(visual_tokens[0].astype(np.float32))
    inside = _product("kn,nf->kf", middle_weights(boxes_cxcywh, _grid(cells)), cells)
    return np.hstack([inside, log_sizes(boxes_cxcywh)]).astype(np.float32)


def weighed_looks(visual_tokens: Array, boxes_cxcywh: Array, weights: Array) -> Array:
    """`looks` @ `weights` (F,) for less: cells are weighed before they are added up."""
    cells = cell_looks(visual_tokens[0].astype(np.float32))
    told = _product("nf,f->n", cells, weights[:-2])
    inside = _product("kn,n->k", middle_weights(boxes_cxcywh, _grid(cells)), told)
    return inside + _product("ks,s->k", log_sizes(boxes_cxcywh), weights[-2:])


def log_sizes(boxes_cxcywh: Array) -> Array:
    """(K, 4) boxes -> (K, 2) logarithms of width and height."""
    return np.log(np.maximum(boxes_cxcywh[:, 2:], 1e-3))


def cell_looks(cells: Array) -> Array:
    """(N, Dv) cells -> (N, F - 2): of a class the square root, so that small ones tell as well."""
    width = (cells.shape[1] - DETECTIONS - COLOURS) * 2 // 3
    places = cells[:, -DETECTIONS - COLOURS : -COLOURS].reshape(len(cells), PLACES, -1)
    classes = np.sqrt(places[..., :CLASSES].max(1).clip(0, 1))
    return np.hstack([cells[:, :width], 2 * classes, cells[:, -COLOURS:]])


def middle_weights(boxes_cxcywh: Array, grid: int) -> Array:
    """(K, 4) boxes -> (K, grid * grid): how much each cell counts for the middle of a box."""
    ticks = (np.arange(grid) + 0.5) / grid
    across, down = (
        np.exp(-np.square((ticks - center[:, None]) / (MIDDLE * size[:, None] + 0.5 / grid)))
        for center, size in zip(boxes_cxcywh.T[:2], boxes_cxcywh.T[2:], strict=True)
    )
    across /= across.sum(1, keepdims=True)
    down /= down.sum(1, keepdims=True)
    weights: Array = (down[:, :, None] * across[:, None]).reshape(len(boxes_cxcywh), -1)
    return weights


def _grid(cells: Array) -> int:
    return math.isqrt(len(cells))


def _product(subscripts: str, *arrays: Array) -> Array:
    """Not `@`: the threads of BLAS and of the runtime, which spin for a while, block each other."""
    product: Array = np.einsum(subscripts, *arrays)
    return product
