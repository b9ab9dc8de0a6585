"""Expressions by another thing's place and by what is not meant: true where geometry says so."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.landmarks import (
    NEGATION,
    SPATIAL,
    is_at,
    is_on,
    negations,
    spatial_expressions,
    without,
)
from train.data.places import gap, shared, turned
from train.data.samples import Box, Expression, Instance

LAPTOP, LEFT_CUP, RIGHT_CUP = (0.4, 0.4, 0.6, 0.6), (0.1, 0.45, 0.2, 0.6), (0.8, 0.45, 0.9, 0.6)
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


def made(groups: dict[str, list[Box]], seeds: int = 20) -> set[Expression]:
    instances = {k: [Instance(k, box) for box in boxes] for k, boxes in groups.items()}
    return {e for s in range(seeds) for e in spatial_expressions(instances, random.Random(s))}


def test_a_cup_is_told_by_its_side_of_the_laptop() -> None:
    found = made({"laptop": [LAPTOP], "cup": [LEFT_CUP, RIGHT_CUP]})
    for expression in found:
        sides = {side for side in ("left", "right") if f"{side} of" in expression.text}
        if expression.kind == SPATIAL and sides:
            assert expression.boxes == ((LEFT_CUP,) if sides == {"left"} else (RIGHT_CUP,))
            assert expression.context == (LAPTOP,) and expression.num_instances == 2
    assert any("left of" in e.text for e in found)


def test_what_is_untrue_has_no_box() -> None:
    found = made({"laptop": [LAPTOP], "cup": [LEFT_CUP]})
    right = {e for e in found if "right of the laptop" in e.text and e.text.startswith("the cup")}
    assert right and all(not e.boxes for e in right)


def test_two_landmarks_or_two_answers_are_no_expression() -> None:
    found = made({"laptop": [LAPTOP, RIGHT_CUP], "cup": [LEFT_CUP, (0.1, 0.7, 0.2, 0.9)]})
    assert not any(e.boxes and e.label == "cup" for e in found)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """On a grid of 64ths, where turning a box upside down is exact."""
    x, y = (draw(st.integers(0, 48)) for _ in range(2))
    width, height = (draw(st.integers(1, 16)) for _ in range(2))
    return x / 64, y / 64, (x + width) / 64, (y + height) / 64


@pytest.mark.parametrize("side", OPPOSITE)
@given(boxes(), boxes())
def test_opposite_sides_agree_upside_down(side: str, box: Box, landmark: Box) -> None:
    there = is_at(side, box, landmark)
    assert is_at(OPPOSITE[side], turned(box), turned(landmark)) == there
    assert not (there and is_at(OPPOSITE[side], box, landmark))


def test_sides_in_doubt_are_none() -> None:
    assert is_at("left", (0.35, 0.4, 0.55, 0.6), LAPTOP) is None  # reaches over the middle
    assert is_at("above", (0.1, 0.1, 0.2, 0.2), LAPTOP) is None  # higher, but not above it
    assert is_at("above", (0.45, 0.1, 0.55, 0.3), LAPTOP) is True
    assert is_at("below", (0.45, 0.1, 0.55, 0.3), LAPTOP) is False


def test_a_cup_on_a_table_ends_on_it() -> None:
    table = (0.1, 0.5, 0.9, 0.9)
    assert is_on((0.4, 0.4, 0.5, 0.6), table)
    assert not is_on((0.4, 0.1, 0.5, 0.3), table) and not is_on((0.95, 0.4, 1.0, 0.6), table)
    found = made({"dining table": [table], "cup": [(0.4, 0.4, 0.5, 0.6), (0.7, 0.1, 0.8, 0.3)]})
    on = [
        e for e in found if " on the " in e.text and "left" not in e.text and "right" not in e.text
    ]
    assert on and all(e.boxes == ((0.4, 0.4, 0.5, 0.6),) for e in on if e.boxes)


def test_gaps_are_distances_of_the_nearest_points() -> None:
    assert gap(LEFT_CUP, LAPTOP) == pytest.approx(0.2)
    assert gap(LAPTOP, LAPTOP) == 0 and gap((0, 0, 0.1, 0.1), (0.4, 0.5, 1, 1)) == pytest.approx(
        0.5
    )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_negations_mean_all_but_the_one_that_is_named(count: int) -> None:
    group = [Instance("dog", (x, 0.4, x + 0.1, 0.6)) for x in (0.05, 0.3, 0.55, 0.8)[:count]]
    for expression in negations("dog", group, random.Random(0)):
        named = group[0] if "left" in expression.text else group[-1]
        assert set(expression.boxes) == {i.box for i in group if i is not named}
        assert expression.kind == NEGATION and expression.num_instances == count
    assert len(list(negations("dog", group, random.Random(0)))) == 2


def test_the_one_without_is_the_only_one_that_nothing_touches() -> None:
    rider, horse, bare = (0.15, 0.1, 0.25, 0.4), (0.1, 0.3, 0.4, 0.9), (0.6, 0.3, 0.9, 0.9)
    horses = [Instance("horse", horse), Instance("horse", bare)]

    def asked(*people: Box) -> list[tuple[str, tuple[Box, ...]]]:
        groups = {"horse": horses, "person": [Instance("person", box) for box in people]}
        return [(e.text, e.boxes) for e in without(groups, random.Random(0))]

    touching = (0.15, 0.2, 0.25, 0.6)
    assert asked(touching) == [("the horse without a person", (bare,))]
    assert asked(rider) == [], "most of the rider is above the horse: doubtful"
    assert asked((0.45, 0.3, 0.55, 0.9)) == [], "beside both"
    assert asked(touching, (0.7, 0.4, 0.8, 0.8)) == [], "both have one"


def test_shared_area() -> None:
    assert shared((0, 0, 0.5, 0.5), (0.25, 0.25, 1, 1)) == pytest.approx(0.0625)
    assert shared((0, 0, 0.5, 0.5), (0.5, 0, 1, 1)) == shared((0, 0, 0.1, 1), (0.5, 0, 1, 1)) == 0
