"""One number of a model: what it is measured on, and how."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.metrics import auroc, calibration_error
from train.yardsticks.intervals import Interval, Rows, bootstrap, paired_bootstrap, wilson

REJECTED = 0.1
"""Share of the right unique boxes that is given up to reject absent things."""


@dataclass(frozen=True)
class Figure:
    """One number, in percent or points.

    `measure` gives of the rows either a hit or miss for each question that counts, whose share is
    the figure, or the figure itself.
    """

    title: str
    rows: Rows
    measure: Callable[[Rows], NDArray[np.bool_] | float]

    def value_of(self, rows: Rows) -> float:
        """The figure, for any rows; nan where nothing counts."""
        measured = self.measure(rows)
        if isinstance(measured, np.ndarray):
            return 100 * float(measured.mean()) if len(measured) else math.nan
        return measured

    @property
    def value(self) -> float:
        """The figure."""
        return self.value_of(self.rows)

    @property
    def count(self) -> int:
        """Number of questions that it comes from."""
        measured = self.measure(self.rows)
        return len(measured) if isinstance(measured, np.ndarray) else len(self.rows)

    def interval(self) -> Interval:
        """95%: Wilson's for a share, else the bootstrap's."""
        measured = self.measure(self.rows)
        if isinstance(measured, np.ndarray):
            low, high = wilson(int(measured.sum()), len(measured))
            return 100 * low, 100 * high
        return bootstrap(self.value_of, self.rows)

    def difference_interval(self, other: Figure) -> Interval:
        """95%, of the difference to another model's figure: the paired bootstrap's."""
        return paired_bootstrap(self.value_of, self.rows, other.value_of, other.rows)


def right(rows: Rows) -> NDArray[np.bool_]:
    """Hits: the box is right."""
    return rows.right


def absent_rejected(rows: Rows, threshold: float) -> NDArray[np.bool_]:
    """Hits: absent things that score below the threshold."""
    return rows.scores[~rows.present] < threshold


def right_rejected(rows: Rows, threshold: float) -> NDArray[np.bool_]:
    """Hits: right boxes that score below the threshold."""
    return rows.scores[rows.right] < threshold


def absent_rejected_at_cost(rows: Rows) -> float:
    """Percent of the absent things below the score that REJECTED of the right boxes are below."""
    scores = np.sort(rows.scores[rows.right])
    rejected = absent_rejected(rows, scores[int(REJECTED * len(scores))]) if len(scores) else scores
    return 100 * float(rejected.mean()) if len(rejected) else math.nan


def separation(rows: Rows) -> float:
    """AUROC of the score in percent: what is there against what is not."""
    return auroc(rows.scores[rows.present], rows.scores[~rows.present])


def calibration(rows: Rows) -> float:
    """Expected calibration error in points."""
    return calibration_error(rows.scores, rows.right)


def mean_score(rows: Rows) -> float:
    """Mean of the scores, in percent."""
    return 100 * float(rows.scores.mean()) if len(rows) else math.nan
