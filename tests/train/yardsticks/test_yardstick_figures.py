"""The yardsticks' figures, worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.data.samples import Box, Expression, Photo
from train.evaluator import Outcome
from train.yardsticks.answers import as_rows, to_nearest
from train.yardsticks.figure import (
    absent_rejected,
    absent_rejected_at_cost,
    right_rejected,
    separation,
)
from train.yardsticks.intervals import Rows, bootstrap, paired_bootstrap, wilson
from train.yardsticks.lists import (
    APART,
    NEAR,
)
from train.yardsticks.sections import figures

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
LEFT: Box = (0.0, 0.0, 0.5, 1.0)
RIGHT: Box = (0.5, 0.0, 1.0, 1.0)


def test_wilson_intervals_are_those_worked_out_by_hand() -> None:
    # By hand with z^2 = 3.841459; none of n ends at z^2 / (n + z^2).
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0, 0.2775328), abs=1e-6)
    assert wilson(10, 10) == pytest.approx((0.7224672, 1), abs=1e-6)
    assert all(math.isnan(end) for end in wilson(0, 0))


def rows(photos: list[int], present: list[int], right: list[int], scores: list[float]) -> Rows:
    return Rows(np.array(photos), np.array(present, bool), np.array(right, bool), np.array(scores))


def share_right(found: Rows) -> float:
    return 100 * float(found.right.mean())


def test_questions_about_one_photo_are_resampled_together() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(100) < 0.5, 4)
    alone = rows(list(range(400)), [1] * 400, right, [0.5] * 400)
    together = rows([i // 4 for i in range(400)], [1] * 400, right, [0.5] * 400)
    (low, high), (low_together, high_together) = (
        bootstrap(share_right, found) for found in (alone, together)
    )
    assert np.subtract((low, high), share_right(alone)) == pytest.approx((-5, 5), abs=1)
    assert high_together - low_together == pytest.approx(2 * (high - low), rel=0.15)


def test_a_paired_difference_is_surer_than_two_figures() -> None:
    rng = np.random.default_rng(0)
    photos, right = list(range(300)), rng.random(300) < 0.5
    better = right.copy()
    better[np.flatnonzero(~right)[:9]] = True
    one, other = (rows(photos, [1] * 300, r, [0.5] * 300) for r in (better, right))
    low, high = paired_bootstrap(share_right, one, share_right, other)
    assert 0 < low < 3 < high < 6
    assert paired_bootstrap(share_right, one, share_right, one) == (0, 0)
    with pytest.raises(ValueError, match="same questions"):
        paired_bootstrap(share_right, one, share_right, one.take(np.arange(5)))


def test_what_is_rejected_and_what_that_costs() -> None:
    scores = [*np.linspace(0.1, 1.0, 10), 0.05, 0.15, 0.3]
    found = rows(list(range(13)), [1] * 10 + [0] * 3, [1] * 10 + [0] * 3, scores)
    assert absent_rejected(found, 0.2).tolist() == [True, True, False]
    assert right_rejected(found, 0.35).sum() == 3
    # One in ten right boxes is given up: what is below the second lowest, 0.2.
    assert absent_rejected_at_cost(found) == pytest.approx(200 / 3)
    assert separation(found) == pytest.approx(100 * (30 - 1 - 2) / 30)
    assert math.isnan(absent_rejected_at_cost(found.take(~found.right)))


def outcome(box: Box, *boxes: Box, kind: str = "other", score: float = 0.5) -> Outcome:
    """An answer on a photo of the half that nothing is fitted on."""
    expression = Expression("the dogs", boxes, kind)
    plain = Outcome(expression, Photo(Path("d.jpg"), (expression,)), box, 0.0, score)
    return to_nearest(plain)


def test_of_several_boxes_the_nearest_counts() -> None:
    assert outcome(LEFT, LEFT, RIGHT).right
    assert outcome(WHOLE, LEFT, RIGHT).iou == pytest.approx(0.5)
    assert not outcome((0.4, 0.0, 0.6, 1.0), LEFT, RIGHT).right
    assert not outcome(LEFT).right


def test_a_relation_may_be_answered_with_the_other_noun() -> None:
    other: Box = (0.8, 0.0, 1.0, 0.2)
    boxes = (LEFT, other, WHOLE)  # the head noun's, the other noun's, neither
    outcomes = {
        "relations": [outcome(box, LEFT, kind=APART) for box in boxes]
        + [outcome(other, LEFT, kind=NEAR)],
        "other_noun": [outcome(box, other, kind=APART) for box in boxes]
        + [outcome(other, other, kind=NEAR)],
    }
    found = figures(outcomes, None)["relations"]
    assert {name: (round(f.value), f.count) for name, f in found.items()} == {
        "right": (50, 4),
        "apart": (67, 3),
        "other_noun": (33, 3),
    }


def several(found: list[Box], *true: Box, kind: str = "many") -> Outcome:
    """An answer with several boxes."""
    instances = tuple((box, 0.9) for box in found)
    return replace(outcome(found[0], *true, kind=kind), instances=instances)


def test_all_that_a_phrase_names_is_measured_by_f1_and_by_number() -> None:
    outcomes = {
        "everyday": [several([LEFT, RIGHT], LEFT, RIGHT), several([LEFT], LEFT, RIGHT)],
        "captions": [several([LEFT, WHOLE], LEFT, RIGHT), several([LEFT], LEFT)],
        "counts": [several([LEFT], LEFT), several([LEFT], LEFT, RIGHT), several([RIGHT], LEFT)],
        "miscounted": [several([LEFT], LEFT), several([LEFT, RIGHT], LEFT)],
    }
    found = figures(outcomes, None)["instances"]
    assert {name: (round(f.value), f.count) for name, f in found.items()} == {
        "everyday": (83, 2),
        "everyday_alone": (67, 2),
        "captions": (100, 1),
        "captions_alone": (67, 1),
        "counts": (67, 3),
        "miscounted": (50, 2),
    }
    alone = {"everyday": [outcome(LEFT, LEFT, RIGHT, kind="many")]}
    assert "instances" not in figures(alone, None), "one box alone was answered"


def test_swaps_are_rejected_at_the_cost_of_the_phrases_they_were_made_from() -> None:
    found = [outcome(LEFT, LEFT, score=0.1 * n) for n in range(1, 11)]
    found += [outcome(LEFT, kind="swap", score=score) for score in (0.05, 0.15, 0.95)]
    figure = figures({"swaps": found}, None)["swaps"]
    assert figure["rejected_at_cost"].value == pytest.approx(200 / 3)


def test_without_a_threshold_its_figures_are_left_out() -> None:
    outcomes = {
        "everyday": [
            outcome(LEFT, LEFT, kind="unique", score=0.8),
            outcome(LEFT, kind="absent", score=0.4),
        ]
    }
    chosen, free = (figures(outcomes, threshold)["everyday"] for threshold in (0.5, None))
    assert chosen.keys() - free.keys() == {"absent_rejected", "right_rejected"}
    assert chosen["absent_rejected"].value == 100 and chosen["right_rejected"].value == 0
    assert free["auroc"].value == 100 and free["auroc"].count == 2


def test_rows_number_photos_in_their_order() -> None:
    found = as_rows([outcome(LEFT, LEFT), outcome(LEFT)])
    assert found.photos.tolist() == [0, 0]
    assert found.present.tolist() == [True, False] and found.right.tolist() == [True, False]
