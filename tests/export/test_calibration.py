"""From logits to scores and the threshold, and to which candidates a phrase names."""

from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.calibrate import (
    RIGHT_BOXES_LOST,
    CalibrationError,
    calibrate,
    fit,
    logit,
    threshold_for,
)
from export.instances import Others, fit_instances
from sdk.bundle.calibration import Calibration
from train.data.samples import Box, Expression, Photo
from train.evaluator import Outcome
from train.questions import in_fitting_half


def outcomes(logits: np.ndarray, right: np.ndarray) -> list[Outcome]:
    """Outcomes of as many photos, each with one phrase, scores not calibrated."""
    scores = 1 / (1 + np.exp(-logits))
    box = (0.0, 0.0, 1.0, 1.0)
    return [
        Outcome(Expression("x", (box,)), Photo(Path(f"{i}.jpg")), box, float(r), float(s))
        for i, (s, r) in enumerate(zip(scores, right, strict=True))
    ]


def fit_of(found: list[Outcome]) -> Calibration:
    return fit([o.score for o in found], [o.right for o in found])


def test_platt_scaling_finds_the_parameters_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=8000) * 2
    right = rng.random(8000) < 1 / (1 + np.exp(-(1.7 * logits - 0.6)))
    calibration = fit_of(outcomes(logits, right))
    assert calibration.scale == pytest.approx(1.7, abs=0.1)
    assert calibration.bias == pytest.approx(-0.6, abs=0.1)


def test_calibration_lowers_the_error_on_photos_it_was_not_fitted_on() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=4000) * 2
    right = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logits + 1)))
    calibration, threshold, figures = calibrate(outcomes(logits, right))
    assert figures["calibration_error"] < 4
    assert figures["right_boxes_lost"] == pytest.approx(100 * RIGHT_BOXES_LOST, abs=3)
    assert 0 < threshold < 1 and calibration.scale > 0
    halves = [figures[f"{half}_on_phrases"] for half in ("fitted", "measured")]
    assert sum(half["captions"] for half in halves) == 4000


def test_phrases_that_are_refused_unscored_do_not_bend_the_fit() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=2000) * 2
    scored = outcomes(logits, rng.random(2000) < 1 / (1 + np.exp(-logits)))
    refused = [replace(outcome, score=0.0, iou=1.0) for outcome in scored[:60]]
    calibration, _, _ = calibrate(scored + refused)
    assert calibration == calibrate(scored)[0]


def test_a_gap_between_right_and_wrong_does_not_blow_the_fit_up() -> None:
    calibration = fit_of(outcomes(np.array([-3.0, -2, -1, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1])))
    assert 0 < calibration.scale < 10


@pytest.mark.parametrize("right", [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
def test_uninformative_outcomes_are_refused(right: list[int]) -> None:
    with pytest.raises(CalibrationError):
        fit_of(outcomes(np.array([-1.0, 0, 1, 2]), np.array(right)))


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=60))
def test_the_threshold_loses_no_more_right_boxes_than_allowed(logits: list[float]) -> None:
    right = outcomes(np.array(logits), np.ones(len(logits)))
    scores = sorted(o.score for o in right)
    threshold = threshold_for(right)
    assert sum(s < threshold for s in scores) <= RIGHT_BOXES_LOST * len(scores)
    higher = [s for s in scores if s > threshold]
    if higher:  # the next one up would lose more than that
        assert sum(s < higher[0] for s in scores) > RIGHT_BOXES_LOST * len(scores)


@given(st.floats(-20, 20))
def test_logit_inverts_the_sigmoid(value: float) -> None:
    assert logit(1 / (1 + np.exp(-value))) == pytest.approx(value, abs=1e-5)


def test_a_photo_is_in_one_half_whatever_its_folder() -> None:
    halves = {in_fitting_half(Photo(Path(f"{i}.jpg"))) for i in range(20)}
    assert halves == {True, False}
    assert in_fitting_half(Photo(Path("a/7.jpg"))) == in_fitting_half(Photo(Path("b/7.jpg")))


BOXES: list[Box] = [(0.2 * i, 0.0, 0.2 * i + 0.1, 1.0) for i in range(5)]


def made_up(true: int, *scores: float, photo: str = "a.jpg") -> Outcome:
    """The first `true` of five boxes are named; candidates are at the boxes in their order."""
    expression = Expression("the dogs", tuple(BOXES[:true]))
    found = tuple(zip(BOXES, (0.9, *scores), strict=False))
    return Outcome(expression, Photo(Path(photo)), BOXES[0], 1.0, 0.9, found)


def test_the_candidates_above_a_score_are_kept() -> None:
    others = Others(made_up(2, 0.8, 0.4))
    assert others.f1(0.9) == pytest.approx(2 / 3), "the best box alone"
    assert others.f1(0.5) == 1.0
    assert others.f1(0.3) == pytest.approx(4 / 5)


def test_the_threshold_divides_what_is_named_from_what_is_not() -> None:
    rng = np.random.default_rng(0)
    outcomes = []
    for number in range(400):
        true = int(rng.integers(1, 4))
        high = sorted(rng.uniform(0.3, 1.0, true - 1), reverse=True)
        low = sorted(rng.uniform(0.0, 0.35, 5 - true), reverse=True)
        outcomes.append(made_up(true, *high, *low, photo=f"{number}.jpg"))
    calibration, threshold, figures = fit_instances(outcomes)
    raw = (calibration.logit(threshold), calibration.logit(threshold))
    assert 0.28 < 1 / (1 + np.exp(-raw[0])) < 0.37
    assert figures["f1"] > 97 > figures["f1_of_best_box_alone"] + 15
    assert figures["fitted_on_phrases"] + figures["measured_on_phrases"] == 400


def test_candidates_that_are_all_wrong_cannot_be_calibrated_on() -> None:
    fitted = (f"{n}.jpg" for n in count() if sha256(f"{n}.jpg".encode()).digest()[0] % 2 == 0)
    with pytest.raises(CalibrationError):
        fit_instances([made_up(1, 0.8, 0.4, photo=next(fitted)) for _ in range(3)])
