"""Metrics of the evaluator, on outcomes worked out by hand."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from train.data.samples import Expression, Photo
from train.evaluate import SECTIONS, by_area, print_report, section
from train.evaluator import Answer, Outcome, accuracy, accuracy_by_kind, evaluate
from train.metrics import (
    auroc,
    expected_calibration_error,
    percent_below,
    reliability,
    right_instances,
)
from train.questions import has_distractor, is_prominent

PHOTO = Photo(Path("a.jpg"))


def outcome(iou: float, score: float, kind: str = "other") -> Outcome:
    box = (0.0, 0.0, 1.0, 1.0)
    return Outcome(Expression("a dog", (box,), kind), PHOTO, box, iou, score)


def test_an_iou_of_one_half_is_right() -> None:
    assert accuracy([outcome(0.5, 1), outcome(0.4999, 1), outcome(0.9, 0)]) == pytest.approx(
        200 / 3
    )
    assert math.isnan(accuracy([]))


def test_several_boxes_count_as_their_union_and_absent_things_as_nothing() -> None:
    both = Expression("dogs", ((0.0, 0.0, 0.2, 1.0), (0.8, 0.0, 1.0, 1.0)))
    absent = Expression("a cat", ())

    def whole_image(photo: Photo, texts: Sequence[str]) -> list[Answer]:
        return [Answer((0.0, 0.0, 1.0, 1.0), 1.0)] * len(texts)

    found = evaluate(whole_image, [(PHOTO, [both, absent]), (PHOTO, [])], progress=False)
    assert [o.iou for o in found] == [1.0, 0.0]


def test_kinds_are_sorted_by_size() -> None:
    kinds = accuracy_by_kind([outcome(1, 1, "people"), outcome(0, 1, "dog"), outcome(1, 1, "dog")])
    assert list(kinds.items()) == [
        ("dog", {"accuracy": 50.0, "phrases": 2}),
        ("people", {"accuracy": 100.0, "phrases": 1}),
    ]


def test_sizes_are_shares_of_the_photo() -> None:
    def covering(share: float, iou: float) -> Outcome:
        return Outcome(
            Expression("a dog", ((0.0, 0.0, share, 1.0),)), PHOTO, (0.0, 0.0, 1.0, 1.0), iou, 0.5
        )

    rows = by_area([covering(0.005, 1), covering(0.02, 0), covering(0.03, 1), covering(1.0, 1)])
    assert {share: row["phrases"] for share, row in rows.items()} == {
        "0% to 1%": 1,
        "1% to 3%": 2,
        "3% to 10%": 0,
        "10% to 30%": 0,
        "30% to 100%": 1,
    }
    assert rows["1% to 3%"]["accuracy"] == 50


def test_every_true_box_counts_once() -> None:
    left, right, middle = (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0.1, 0, 0.6, 1)
    assert right_instances([left, right], [right, left]) == [True, True]
    assert right_instances([left, middle], [left]) == [True, False], "it is taken"
    assert right_instances([middle, left], [left, (0.15, 0, 0.65, 1)]) == [True, True]
    assert right_instances([right], [left]) == right_instances([right], []) == [False]
    assert right_instances([], [left]) == []


def test_auroc_counts_pairs_and_halves_ties() -> None:
    assert auroc([0.9, 0.8], [0.1, 0.2]) == 100
    assert auroc([0.1], [0.9]) == 0
    assert auroc([0.5, 0.9], [0.5, 0.1]) == pytest.approx(100 * 3.5 / 4)
    assert math.isnan(auroc([], [0.1]))


def test_calibration_error_is_the_weighted_gap() -> None:
    sure = [outcome(1, 0.95), outcome(0, 0.95)]  # says 95%, half are right
    assert expected_calibration_error(sure) == pytest.approx(45)
    assert expected_calibration_error([*sure, outcome(1, 1.0), outcome(0, 0.0)]) == pytest.approx(
        100 * (3 * abs((0.95 * 2 + 1) / 3 - 2 / 3) + 0) / 4
    )


def test_percent_below_the_threshold() -> None:
    assert percent_below([outcome(1, 0.2), outcome(1, 0.5)], 0.5) == 50
    assert math.isnan(percent_below([], 0.5))


def test_reliability_has_a_row_for_every_bin_in_use() -> None:
    rows = reliability([outcome(1, 0.95), outcome(0, 0.91), outcome(0, 0.05), outcome(1, 1.0)])
    assert [row["phrases"] for row in rows] == [1, 3]
    assert rows[1]["right"] == pytest.approx(2 / 3)
    assert rows[1]["score"] == pytest.approx((0.95 + 0.91 + 1) / 3)
    assert math.isnan(expected_calibration_error([]))


def test_a_distractor_is_another_box_of_the_same_kind() -> None:
    man = Expression("a man", ((0.0, 0.0, 0.4, 1.0),), "people")
    same_man = Expression("the walker", ((0.0, 0.0, 0.38, 1.0),), "people")
    woman = Expression("a woman", ((0.6, 0.0, 1.0, 1.0),), "people")
    hat = Expression("a hat", ((0.1, 0.0, 0.2, 0.1),), "clothing")
    assert not has_distractor(Photo(Path("a.jpg"), (man, same_man, hat)), man)
    assert has_distractor(Photo(Path("a.jpg"), (man, same_man, woman, hat)), man)


@pytest.mark.parametrize(
    ("num_instances", "side", "asked"),
    [(2, 0.5, True), (4, 0.23, True), (2, 0.22, False), (5, 0.5, False), (1, 0.5, False)],
)
def test_prominent_is_what_refcocog_would_ask_for(
    num_instances: int, side: float, asked: bool
) -> None:
    box = (0.1, 0.1, 0.1 + side, 0.1 + side)
    assert is_prominent(Expression("the left dog", (box,), num_instances=num_instances)) is asked


def test_what_was_not_asked_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {name: section([]) for name in SECTIONS}
    absent = {"phrases": 0, "n_acc": math.nan, "right_boxes_lost": math.nan, "auroc": math.nan}
    errors = {"calibration_error": math.nan, "calibration_error_with_absent": math.nan}
    figures = {**nothing, "contrastive_by_area": by_area([]), "absent": absent, **errors}
    print_report(figures)
    assert capsys.readouterr().out == ""
    asked = [outcome(0.9, 0.8)]
    print_report({**figures, "val_single_box": section(asked), "calibration_error": 1.0})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 and "Acc@0.5 100.0  (1 phrases)" in printed[0]
    assert printed[2] == "expected calibration error 1.0 points"
