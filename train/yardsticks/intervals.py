"""How far a figure may be off: 95% intervals over the questions that might have been asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
"""The normal distribution's 97.5% quantile."""
RESAMPLES = 1000
SEED = 0

Interval = tuple[float, float]


@dataclass(frozen=True)
class Rows:
    """Answers to n questions, as columns."""

    photos: NDArray[np.intp]
    """(n,) number of the photo that each is about."""
    present: NDArray[np.bool_]
    """(n,) whether the photo shows what is asked for."""
    right: NDArray[np.bool_]
    """(n,) IoU of at least 0.5."""
    scores: NDArray[np.float64]
    """(n,) 0-1."""

    def __len__(self) -> int:
        return len(self.photos)

    def take(self, rows: NDArray[np.generic]) -> Rows:
        """Some of the rows, by a mask or by index."""
        return Rows(self.photos[rows], self.present[rows], self.right[rows], self.scores[rows])


Statistic = Callable[[Rows], float]


def wilson(hits: int, count: int) -> Interval:
    """The score interval of a share (Wilson 1927), 0-1; nan for none.

    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    """
    if not count:
        return math.nan, math.nan
    share, z2n = hits / count, Z * Z / count
    middle = (share + z2n / 2) / (1 + z2n)
    half = Z * math.sqrt(share * (1 - share) / count + z2n / (4 * count)) / (1 + z2n)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(statistic: Statistic, rows: Rows) -> Interval:
    """The percentile interval over resampled photos: questions about one photo stay together."""
    return _percentiles([statistic(rows.take(drawn)) for drawn in _resampled(rows.photos)])


def paired_bootstrap(
    statistic: Statistic, rows: Rows, other_statistic: Statistic, other_rows: Rows
) -> Interval:
    """Of the difference between two models' figures, on the same resampled photos for both.

    Raises:
        ValueError: they were not asked the same questions.
    """
    if not np.array_equal(rows.photos, other_rows.photos):
        raise ValueError(f"expected the same questions, got {len(rows)} and {len(other_rows)}")
    return _percentiles(
        [
            statistic(rows.take(drawn)) - other_statistic(other_rows.take(drawn))
            for drawn in _resampled(rows.photos)
        ]
    )


def _resampled(photos: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Row indices of RESAMPLES draws of as many photos as there are, with replacement."""
    order = np.argsort(photos, kind="stable")
    _, starts = np.unique(photos[order], return_index=True)
    rows_of = np.split(order, starts[1:])
    rng = np.random.default_rng(SEED)
    draws = rng.integers(len(rows_of), size=(RESAMPLES, len(rows_of)))
    return [np.concatenate([rows_of[photo] for photo in draw]) for draw in draws]


def _percentiles(values: list[float]) -> Interval:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan, math.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
