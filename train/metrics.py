"""How good scores are: separation of present from absent, calibration, the cost of a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.geometry.boxes import iou_xyxy
from train.data.samples import Box
from train.evaluator import Outcome

Values = Sequence[float] | NDArray[np.floating[Any]]
BINS = 10
"""Equal-width bins of the reliability diagram."""


def right_instances(found: Sequence[Box], true: Sequence[Box]) -> list[bool]:
    """Which of the boxes have an IoU of at least 0.5 with a true box of their own.

    Each box, in its order, takes the free true box that it overlaps most.
    """
    if not found or not true:
        return [False] * len(found)
    overlaps, right = iou_xyxy(found, true), []
    for row in overlaps:
        taken = int(row.argmax())
        right.append(bool(row[taken] >= 0.5))
        if right[-1]:
            overlaps[:, taken] = 0
    return right


def f1(outcome: Outcome) -> float:
    """F1 of an outcome's instances at an IoU of 0.5; 1 where there are none and none are found."""
    found, true = [box for box, _ in outcome.instances], outcome.expression.boxes
    count = len(found) + len(true)
    return 2 * sum(right_instances(found, true)) / count if count else 1.0


def auroc(positive: Values, negative: Values) -> float:
    """Probability that a present thing scores above an absent one (Mann-Whitney U), in percent."""
    if not len(positive) or not len(negative):
        return math.nan
    scores = np.concatenate([positive, negative])
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # ties share their mean rank
    n, m = len(positive), len(negative)
    return 100 * float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def reliability(outcomes: Sequence[Outcome]) -> list[dict[str, float]]:
    """Per bin that is not empty: mean score and share of right boxes (0-1), number of phrases."""
    scores = np.array([o.score for o in outcomes])
    right = np.array([o.right for o in outcomes], float)
    index = _bins(scores)
    return [
        {
            "score": float(scores[index == b].mean()),
            "right": float(right[index == b].mean()),
            "phrases": int((index == b).sum()),
        }
        for b in range(BINS)
        if (index == b).any()
    ]


def calibration_error(scores: NDArray[Any], right: NDArray[Any]) -> float:
    """Expected calibration error, in points: the gap between score and share of right boxes.

    It is the mean over the bins of `reliability`, each weighted by its number of phrases (Naeini et
    al. 2015; Guo et al., arXiv:1706.04599). nan for no phrases.

    Args:
        scores: (n,) probabilities, 0-1. right: (n,) bool.
    """
    if not len(scores):
        return math.nan
    gaps = np.bincount(_bins(scores), scores - right)  # of a bin: phrases times gap
    return 100 * float(np.abs(gaps).sum() / len(scores))


def expected_calibration_error(outcomes: Sequence[Outcome]) -> float:
    """`calibration_error` of outcomes."""
    return calibration_error(
        np.array([o.score for o in outcomes]), np.array([o.right for o in outcomes], bool)
    )


def _bins(scores: NDArray[Any]) -> NDArray[np.intp]:
    return np.minimum((scores * BINS).astype(int), BINS - 1)


def percent_below(outcomes: Sequence[Outcome], threshold: float) -> float:
    """Share of the outcomes that `threshold` calls absent, in percent; nan for none."""
    return 100 * float(np.mean([o.score < threshold for o in outcomes])) if outcomes else math.nan
