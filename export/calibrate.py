"""From the best candidate's logit to the probability that its box is right, and the threshold.

Fitted on one half of the validation photos and of the held-back labelled photos that are in no
split of `train.yardsticks`, and measured on the other half. The phrases are those of the captions
and the names of classes of which a photo shows one, plus one that names nothing for two photos:
where absent things are asked for more often, scores are too high. The manifest states the mix.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdk.bundle.calibration import Calibration
from sdk.lessons.regression import fit_logistic
from train.evaluator import Outcome
from train.metrics import expected_calibration_error, percent_below
from train.questions import in_fitting_half

RIGHT_BOXES_LOST = 0.08
"""Share of the right boxes that the threshold may reject.

A higher threshold tells more absent things from present ones and hides more right boxes; the box is
returned either way, so a missed rejection is the dearer mistake up to about one box in twelve.
"""
FITTED_HALF = "photos with an even first byte of the SHA-256 of their file name"
"""`in_fitting_half` in words, for the manifest."""
RIDGE = 1e-11
"""Penalty of the fit: too small to move it."""


class CalibrationError(Exception):
    """The outcomes cannot tell what score a right box has."""


def logit(score: float) -> float:
    """The inverse of the sigmoid, finite for every float."""
    clipped = min(max(score, 1e-12), 1 - 1e-12)
    return math.log(clipped) - math.log1p(-clipped)


def fit(scores: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Platt scaling of raw scores, each the plain sigmoid of a logit, of boxes right or wrong.

    Maximum likelihood by Newton's method with Platt's smoothed targets (Platt 1999; Lin, Lin and
    Weng 2007), which keep the fit finite where one logit divides right from wrong.

    Raises:
        CalibrationError: all boxes right, all wrong, or right ones with the lower logits.
    """
    x, hit = np.array([logit(score) for score in scores]), np.array(right, bool)
    positives, negatives = int(hit.sum()), int((~hit).sum())
    if not positives or not negatives:
        raise CalibrationError(f"{positives} right and {negatives} wrong boxes to calibrate on")
    target = np.where(hit, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    one = np.ones_like(x)
    (scale,), bias = fit_logistic(x[:, None], target, 0 * one, one, RIDGE, smallest_gain=0.0)
    if scale <= 0:
        raise CalibrationError("right boxes do not have the higher logits")
    return Calibration(float(scale), bias)


def threshold_for(outcomes: Sequence[Outcome]) -> float:
    """The highest score that loses at most RIGHT_BOXES_LOST of the right boxes; 0.5 without any."""
    scores = sorted(o.score for o in outcomes if o.right)
    return scores[int(RIGHT_BOXES_LOST * len(scores))] if scores else 0.5


def calibrated_score(score: float, calibration: Calibration) -> float:
    """What a raw score becomes."""
    return calibration.score(logit(score))


def calibrated(outcomes: Sequence[Outcome], calibration: Calibration) -> list[Outcome]:
    """Raw outcomes with the scores that `calibration` gives them."""
    return [dataclasses.replace(o, score=calibrated_score(o.score, calibration)) for o in outcomes]


def mix(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many phrases there are of each sort."""
    present = [o.expression for o in outcomes if o.expression.boxes]
    named = sum(expression.num_instances > 0 for expression in present)
    absent = len(outcomes) - len(present)
    return {"captions": len(present) - named, "class_names": named, "absent": absent}


def calibrate(outcomes: Sequence[Outcome]) -> tuple[Calibration, float, dict[str, Any]]:
    """Calibration, threshold and figures from raw outcomes of present and absent phrases.

    Raises:
        CalibrationError: see `fit`.
    """
    fitting = [o for o in outcomes if in_fitting_half(o.photo)]
    # A score of 0 is the SDK's, of a head noun that the model does not know: no logit of a box.
    scored = [o for o in fitting if o.score > 0]
    calibration = fit([o.score for o in scored], [o.right for o in scored])
    threshold = threshold_for(calibrated(fitting, calibration))
    held_out = calibrated([o for o in outcomes if not in_fitting_half(o.photo)], calibration)
    right = [o for o in held_out if o.right]
    absent = [o for o in held_out if not o.expression.boxes]
    figures = {
        "fitted_half": FITTED_HALF,
        "fitted_on_phrases": mix(fitting),
        "measured_on_phrases": mix(held_out),
        "calibration_error": expected_calibration_error(held_out) if held_out else None,
        "right_boxes_lost": percent_below(right, threshold),
        "absent_rejected": percent_below(absent, threshold),
    }
    return calibration, threshold, figures
