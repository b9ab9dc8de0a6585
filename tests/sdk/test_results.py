"""Alternatives and regions, through the public API on a real (tiny) bundle."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from sdk import FrameError, Grounder, Grounding, GroundingError
from sdk.geometry.boxes import iou_xyxy
from sdk.inputs.frames import MIN_SIDE, crop
from sdk.results import Place

PHRASES = ["the dog", "a man in a red shirt", "cat"]
OTHER, PERHAPS = Place((5, 6, 7, 8), 0.6), Place((1, 1, 2, 2), 0.1)


def test_alternatives_are_other_places_best_first(
    grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    plain = grounder.ground(frame, PHRASES)
    results = grounder.ground(frame, PHRASES, alternatives=3)
    assert {len(result.alternatives) for result in results} == {3}
    for result, alone in zip(results, plain, strict=True):
        assert (result.box, result.score, result.found) == (alone.box, alone.score, alone.found)
        assert alone.alternatives == ()
        scores = [result.score, *(other.score for other in result.alternatives)]
        assert scores == sorted(scores, reverse=True)
        boxes = [result.box, *(other.box for other in result.alternatives)]
        assert (iou_xyxy(boxes, boxes)[np.triu_indices(4, 1)] <= 0.5 + 1e-6).all()
        assert (np.array(boxes) >= 0).all() and (np.array(boxes) <= [200, 120] * 2).all()


def test_fewer_alternatives_are_the_first_of_more(
    grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    view = grounder.encode(frame)
    few, more = (view.ground("cat", alternatives=number).alternatives for number in (2, 5))
    assert few == more[:2]
    assert len(view.ground("cat", alternatives=1000).alternatives) < 24  # of as many candidates
    assert view.ground(["cat"], alternatives=2) == [grounder.ground(frame, "cat", alternatives=2)]


@pytest.mark.parametrize("number", [-1, 1.5, True, None, "3"])
def test_bad_numbers_of_alternatives(
    grounder: Grounder, frame: NDArray[np.uint8], number: Any
) -> None:
    view = grounder.encode(frame)
    with pytest.raises(GroundingError, match=r"alternatives: expected a whole number .* got"):
        grounder.ground(frame, "cat", alternatives=number)
    with pytest.raises(GroundingError, match=r"alternatives: expected a whole number .* got"):
        view.ground("cat", alternatives=number)


def test_there_are_instances_exactly_when_something_is_found() -> None:
    best = Place((0, 0, 4, 4), 0.9)
    assert Grounding("dogs", (0, 0, 4, 4), 0.9, True).instances == (best,)
    both = Grounding("dogs", (0, 0, 4, 4), 0.9, True, (best, OTHER), (PERHAPS,))
    assert both.instances == (best, OTHER)
    assert list(both.places()) == [best, OTHER, PERHAPS]
    nothing = Grounding("dogs", (0, 0, 4, 4), 0.1, False, (best,), (PERHAPS,))
    assert nothing.instances == ()
    assert list(nothing.places()) == [Place((0, 0, 4, 4), 0.1), PERHAPS]


def test_all_places_of_a_result_are_moved_and_scaled_together() -> None:
    best, other = Place((0, 2, 4, 6), 0.9, 1), Place((5, 6, 7, 8), 0.6, 2)
    result = Grounding("dogs", best.box, 0.9, True, (best, other), (PERHAPS,))
    moved = result.moved(10, 1)
    assert [p.box for p in moved.places()] == [(10, 3, 14, 7), (15, 7, 17, 9), (11, 2, 12, 3)]
    assert moved.box == moved.instances[0].box
    scaled = result.scaled(2, 0.5)
    assert [p.box for p in scaled.places()] == [(0, 1, 8, 3), (10, 3, 14, 4), (2, 0.5, 4, 1)]
    assert [p.track_id for p in scaled.places()] == [1, 2, 0]


def test_the_dict_has_only_what_there_is() -> None:
    place = {"box": [0, 0, 4, 4], "score": 0.9}
    plain = {"text": "dog", **place, "found": True, "instances": [place]}
    assert Grounding("dog", (0, 0, 4, 4), 0.9, True).to_dict() == plain
    result = Grounding("dog", (0, 0, 4, 4), 0.9, True, (), (OTHER,), ("blorp",)).to_dict()
    more = {"alternatives": [{"box": [5, 6, 7, 8], "score": 0.6}], "unknown_words": ["blorp"]}
    assert result == plain | more
    assert json.loads(json.dumps(result)) == result
    assert Place((0, 0, 4, 4), 0.9, 3).to_dict() == place | {"track_id": 3}


def test_a_region_is_grounded_as_the_crop_alone(
    grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    region = (50, 20, 170, 100)
    results = grounder.ground(frame, PHRASES, region=region, alternatives=2)
    alone = grounder.ground(frame[20:100, 50:170].copy(), PHRASES, alternatives=2)
    for result, expected in zip(results, alone, strict=True):
        assert result == expected.moved(50, 20)
        assert_allclose(np.subtract(result.box, (50, 20, 50, 20)), expected.box, atol=1e-4)
        for box in (result.box, *(other.box for other in result.alternatives)):
            assert (np.array(box) >= (50, 20) * 2).all() and (np.array(box) <= (170, 100) * 2).all()
    assert (
        grounder.ground(frame, "cat", region=region)
        == grounder.ground(frame, ["cat"], region=region)[0]
    )


def test_the_whole_frame_is_a_region(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    expected = grounder.ground(frame, "cat")
    assert grounder.ground(frame, "cat", region=(0, 0, 200, 120)) == expected
    assert grounder.ground(frame, "cat", region=(-50, -5.5, 300, 1e9)) == expected


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((50, 20, 50, 100), "empty"),
        ((60, 20, 50, 100), "empty"),
        ((0, 90, 50, 80), "empty"),
        ((200, 0, 300, 100), "frame of 200 x 120, got .* outside"),
        ((0, -80, 100, 0), "outside"),
        ((0, 0, 5, 100), "5 x 100 are in the frame"),
        ((195, 0, 300, 100), "5 x 100 are in the frame"),
        ((0, 0, float("nan"), 100), "not finite"),
        ((0, 0, float("inf"), 100), "not finite"),
        ((0, 0, 100), r"got \(0, 0, 100\)"),
        (("a", 0, 100, 100), "got"),
        (7, "got 7"),
        ("left", "got 'left'"),
    ],
)
def test_bad_regions(
    grounder: Grounder, frame: NDArray[np.uint8], region: Any, message: str
) -> None:
    with pytest.raises(FrameError, match=message):
        grounder.ground(frame, "cat", region=region)


def test_a_region_is_widened_to_whole_pixels(frame: NDArray[np.uint8]) -> None:
    part, corner = crop(frame, (10.5, 20.2, 50.1, 60.9))
    assert corner == (10, 20)
    assert part.shape == (41, 41, 3)


edges = st.floats(-300, 500, allow_nan=False)


@given(st.tuples(edges, edges, edges, edges), st.tuples(*4 * [st.floats(0, 1)]))
def test_a_box_of_a_region_is_at_the_same_pixels_of_the_frame(
    region: tuple[float, float, float, float], fractions: tuple[float, float, float, float]
) -> None:
    frame = np.zeros((120, 200, 3), np.uint8)
    try:
        part, (x, y) = crop(frame, region)
    except FrameError:
        inside = [min(region[2], 200) - max(region[0], 0), min(region[3], 120) - max(region[1], 0)]
        assert min(inside) < MIN_SIDE
        return
    assert np.shares_memory(part, frame)
    height, width = part.shape[:2]
    left, right = sorted(round(fraction * width) for fraction in fractions[::2])
    top, bottom = sorted(round(fraction * height) for fraction in fractions[1::2])
    box = Grounding("", (left, top, right, bottom), 1, True, (), (OTHER,)).moved(x, y)
    part[top:bottom, left:right] = 255
    x1, y1, x2, y2 = map(int, box.box)
    assert 0 <= x1 <= x2 <= 200 and 0 <= y1 <= y2 <= 120
    assert (frame[y1:y2, x1:x2] == 255).all()
    assert (frame == 255).sum() == 3 * (x2 - x1) * (y2 - y1)
    assert box.alternatives[0].box == (5 + x, 6 + y, 7 + x, 8 + y)
