"""From the fusion graph's candidates to one box per phrase, to all that it names, to other places.

The best candidate alone jitters: its neighbours on the grid describe the same object and know parts
of its outline better. So candidates that overlap the best one vote for the box with the square of
their scores (box voting, Gidaris and Komodakis, arXiv:1505.01749).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.geometry.boxes import clip_xyxy, cxcywh_to_xyxy, iou_xyxy

Array = NDArray[np.floating[Any]]

LEAST_IOU = 0.4
"""Candidates that overlap the best one less are about something else."""
MOST_IOU = 0.5
"""Boxes that overlap more are the same place: non-maximum suppression keeps the better one."""


def best_boxes(boxes_cxcywh: Array, logits: Array) -> tuple[Array, Array]:
    """(P, K, 4) candidates and their (P, K) logits -> (P, 4) cxcywh boxes, (P,) best logits."""
    voted = [
        vote(boxes, scores, int(scores.argmax()))
        for boxes, scores in zip(boxes_cxcywh, logits, strict=True)
    ]
    return np.array(voted, boxes_cxcywh.dtype).reshape(-1, 4), logits.max(axis=1)


def vote(boxes_cxcywh: Array, logits: Array, best: int) -> Array:
    """One phrase: (K, 4) candidates, (K,) logits -> the (4,) cxcywh box that they give the best."""
    edges = cxcywh_to_xyxy(boxes_cxcywh)
    log_scores = -np.logaddexp(0, -logits.astype(np.float64))
    votes = np.exp(2 * (log_scores - log_scores[best]))  # squared scores, the best one's is 1
    agree = iou_xyxy(edges[best : best + 1], edges)[0] >= LEAST_IOU
    agree &= votes <= 1  # a better one that it overlaps this little is another thing
    agree[best] = True  # a box without an area overlaps nothing, not even itself
    weights = votes * agree
    box: Array = weights @ boxes_cxcywh / weights.sum()
    return box


def next_best(
    taken_cxcywh: Array, boxes_cxcywh: Array, logits: Array, most: int
) -> NDArray[np.intp]:
    """One phrase: (T, 4) boxes that are taken, (K, 4) candidates, (K,) logits -> (n,) candidates.

    The next best candidates, best first, n <= `most`. Inside the picture they overlap each other
    and what is taken by at most MOST_IOU. All boxes are cxcywh fractions of the picture.
    """
    count = len(taken_cxcywh)
    inside = clip_xyxy(cxcywh_to_xyxy(np.vstack([taken_cxcywh, boxes_cxcywh])), (1, 1))
    taken, boxes = inside[:count], inside[count:]
    visible = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    free = np.flatnonzero(visible & (iou_xyxy(boxes, taken) <= MOST_IOU).all(axis=1))
    return free[suppress(boxes[free], logits[free], most)]


def instances(
    box_cxcywh: Array, boxes_cxcywh: Array, member_logits: Array, least: float, most: int
) -> tuple[Array, Array]:
    """One phrase: its (4,) box, (K, 4) candidates, (K,) logits -> (n, 4) other boxes, (n,) logits.

    All that is named beside the box, n <= `most`: candidates whose logit is at least `least`, as
    `next_best` chooses them, each with the box that its neighbours vote for.
    """
    likely = np.flatnonzero(member_logits >= least)
    boxes, logits = boxes_cxcywh[likely], member_logits[likely]
    chosen = next_best(box_cxcywh[None], boxes, logits, most)
    voted = [vote(boxes, logits, index) for index in chosen.tolist()]
    return np.array(voted, boxes.dtype).reshape(-1, 4), logits[chosen]


def suppress(boxes_xyxy: Array, scores: Array, most: int) -> NDArray[np.intp]:
    """Non-maximum suppression: (N, 4) boxes, (N,) scores -> indices kept, at most `most`.

    The best box is kept, then the best of those that overlap no kept one by more than MOST_IOU.
    """
    left = np.argsort(-scores, kind="stable")
    kept: list[np.intp] = []
    while left.size and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(best)
        overlap = iou_xyxy(boxes_xyxy[best : best + 1], boxes_xyxy[left])[0]
        left = left[overlap <= MOST_IOU]
    return np.array(kept, np.intp)
