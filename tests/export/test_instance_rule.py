"""From the candidates' logits to which of them a phrase names."""

from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from export.calibrate import CalibrationError
from export.instances import Others, fit_instances
from train.data.samples import Box, Expression, Photo
from train.evaluator import Outcome

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
