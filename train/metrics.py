"""How good scores are: separation of present from absent, calibration, the cost of a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from train.evaluator import Outcome

BINS = 10
"""Equal-width bins of the reliability diagram."""


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a present thing scores above an absent one (Mann-Whitney U), in percent."""
    if not positive or not negative:
        return math.nan
    scores = np.concatenate([positive, negative])
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(scores):  # ties share their mean rank
        same = scores == value
        ranks[same] = ranks[same].mean()
    n, m = len(positive), len(negative)
    return 100 * float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def reliability(outcomes: Sequence[Outcome]) -> list[dict[str, float]]:
    """Per bin that is not empty: mean score and share of right boxes (0-1), number of phrases."""
    scores = np.array([o.score for o in outcomes])
    right = np.array([o.right for o in outcomes], float)
    index = np.minimum((scores * BINS).astype(int), BINS - 1)
    return [
        {
            "score": float(scores[index == b].mean()),
            "right": float(right[index == b].mean()),
            "phrases": int((index == b).sum()),
        }
        for b in range(BINS)
        if (index == b).any()
    ]


def expected_calibration_error(outcomes: Sequence[Outcome]) -> float:
    """Mean gap between score and share of right boxes over the bins, in points; nan for none.

    Naeini et al. 2015; Guo et al., arXiv:1706.04599.
    """
    if not outcomes:
        return math.nan
    gaps = (row["phrases"] * abs(row["score"] - row["right"]) for row in reliability(outcomes))
    return 100 * sum(gaps) / len(outcomes)


def percent_below(outcomes: Sequence[Outcome], threshold: float) -> float:
    """Share of the outcomes that `threshold` calls absent, in percent; nan for none."""
    return 100 * float(np.mean([o.score < threshold for o in outcomes])) if outcomes else math.nan
