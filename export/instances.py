"""Which candidates a phrase names beside the best one: their calibration and their threshold.

Fitted on the same half of the photos as the score, to phrases with one box and with several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.calibrate import CalibrationError, calibrated_score, fit
from sdk.bundle.calibration import IDENTITY, Calibration
from train.evaluator import Outcome
from train.metrics import right_instances
from train.questions import in_fitting_half

STEPS = 200
"""Thresholds that are tried, evenly spread over the scores that there are."""


def fit_instances(outcomes: Sequence[Outcome]) -> tuple[Calibration, float, dict[str, Any]]:
    """Calibration, threshold and figures.

    Args:
        outcomes: with every candidate among the instances, the best box first, the others with the
            plain sigmoid of their logit.

    Raises:
        CalibrationError: see `export.calibrate.fit`.
    """
    fitting, held_out = (
        [Others(o) for o in outcomes if in_fitting_half(o.photo) == half] for half in (True, False)
    )
    calibration = fit(
        [score for others in fitting for score in others.scores],
        [right for others in fitting for right in others.right],
    )
    scores = sorted({score for others in fitting for score in others.scores})
    tried = [scores[i * len(scores) // STEPS] for i in range(min(STEPS, len(scores)))]
    least = max(tried, key=lambda score: mean_f1(fitting, score))
    figures = {
        "fitted_on_phrases": len(fitting),
        "measured_on_phrases": len(held_out),
        "f1": mean_f1(held_out, least) if held_out else None,
        "f1_of_best_box_alone": mean_f1(held_out, 1.0) if held_out else None,
    }
    return calibration, calibrated_score(least, calibration), figures


def instance_rule(raw: Sequence[Outcome]) -> tuple[Calibration, float, dict[str, Any]]:
    """What `fit_instances` makes of raw outcomes; where it cannot, the best box stays alone."""
    try:
        # A phrase whose noun is not known has none.
        return fit_instances([o for o in raw if o.expression.boxes and o.instances])
    except CalibrationError as error:
        print(f"warning: the phrases' further instances stay uncalibrated: {error}")
        return IDENTITY, 1.0, {}


class Others:
    """Of an outcome, which candidates beside the best box are right, by falling score."""

    def __init__(self, outcome: Outcome) -> None:
        found = [box for box, _ in outcome.instances]
        self.best_right, *self.right = right_instances(found, outcome.expression.boxes)
        self.scores = [score for _, score in outcome.instances[1:]]
        self.true = len(outcome.expression.boxes)

    def f1(self, least: float) -> float:
        """With the candidates that score at least `least`."""
        kept = sum(score >= least for score in self.scores)
        right = self.best_right + sum(self.right[:kept])
        return 2 * right / (1 + kept + self.true)


def mean_f1(found: Sequence[Others], least: float) -> float:
    """In percent."""
    return 100 * float(np.mean([others.f1(least) for others in found]))
