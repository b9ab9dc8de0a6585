"""From the fusion graph's candidates to one box per phrase.

The best candidate alone jitters: its neighbours on the grid describe the same object and know parts
of its outline better. So candidates that overlap the best one vote for the box with the square of
their scores (box voting, Gidaris and Komodakis, arXiv:1505.01749).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.boxes import cxcywh_to_xyxy, iou_xyxy

Array = NDArray[np.floating[Any]]

LEAST_IOU = 0.4
"""Candidates that overlap the best one less are about something else."""


def best_boxes(boxes_cxcywh: Array, logits: Array) -> tuple[Array, Array]:
    """(P, K, 4) candidates and their (P, K) logits -> (P, 4) cxcywh boxes, (P,) best logits."""
    voted = [vote(boxes, scores) for boxes, scores in zip(boxes_cxcywh, logits, strict=True)]
    return np.array(voted, boxes_cxcywh.dtype).reshape(-1, 4), logits.max(axis=1)


def vote(boxes_cxcywh: Array, logits: Array) -> Array:
    """One phrase: (K, 4) candidates and (K,) logits -> the (4,) cxcywh box they agree on."""
    edges = cxcywh_to_xyxy(boxes_cxcywh)
    best = int(logits.argmax())
    log_scores = -np.logaddexp(0, -logits.astype(np.float64))
    votes = np.exp(2 * (log_scores - log_scores[best]))  # squared scores, the best one's is 1
    agree = iou_xyxy(edges[best : best + 1], edges)[0] >= LEAST_IOU
    agree[best] = True  # a box without an area overlaps nothing, not even itself
    weights = votes * agree
    box: Array = weights @ boxes_cxcywh / weights.sum()
    return box
