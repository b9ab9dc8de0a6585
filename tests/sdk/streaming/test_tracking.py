"""Boxes follow what is in them, and what counts as found does not flicker."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import Grounding, GroundingError
from sdk.geometry.boxes import iou_xyxy
from sdk.results import Place
from sdk.streaming.median_flow import carry
from sdk.streaming.tracking import Tracker, Tracking

WIDTH, HEIGHT, SIDE = 640, 480, 120
THRESHOLD = 0.5
Box = tuple[float, float, float, float]


def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Random colours with coarse and fine detail, as photos have it."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 255, (height // cell, width // cell, 3)), (width, height))
        for cell in (8, 20, 40)
    ]
    return np.mean(layers, axis=0).astype(np.uint8)


BACKGROUND, OBJECT = texture(HEIGHT, WIDTH, 1), texture(SIDE, SIDE, 2)


def scene(x: float, y: float, scale: float = 1.0) -> tuple[NDArray[np.uint8], Box]:
    """The object with its top left corner at (x, y), in pixels, and its box."""
    shift = np.array([[scale, 0, x], [0, scale, y]], np.float64)
    mask = cv2.warpAffine(np.ones((SIDE, SIDE), np.uint8), shift, (WIDTH, HEIGHT))
    moved = cv2.warpAffine(OBJECT, shift, (WIDTH, HEIGHT))
    frame = np.where(mask[..., None] > 0, moved, BACKGROUND).astype(np.uint8)
    return frame, (x, y, x + SIDE * scale, y + SIDE * scale)


def iou(a: Box, b: Box) -> float:
    return float(iou_xyxy([a], [b])[0, 0])


def grounded(box: Box, score: float = 0.9, text: str = "the thing") -> Grounding:
    return Grounding(text, box, score, score >= THRESHOLD)


def started(frame: NDArray[np.uint8], *results: Grounding, **settings: float) -> Tracker:
    """A tracker for which `frame` has been grounded."""
    tracker = Tracker(THRESHOLD, replace(Tracking(), **settings))
    ask(tracker, frame, *results)
    return tracker


def ask(tracker: Tracker, frame: NDArray[np.uint8], *results: Grounding) -> None:
    tracker.advance(frame)
    tracker.mark()
    tracker.update(results)


@pytest.mark.parametrize(
    ("dx", "dy", "growth"), [(8, 4, 1.0), (-6, 5, 1.0), (0, 0, 1.02), (4, 3, 0.985), (0, 0, 1.0)]
)
def test_follows_what_moves_and_grows(dx: float, dy: float, growth: float) -> None:
    frame, box = scene(200, 150)
    tracker = started(frame, grounded(box))
    for step in range(1, 21):
        frame, box = scene(200 + dx * step, 150 + dy * step, growth**step)
        tracker.advance(frame)
    (result,) = tracker.results
    assert iou(result.box, box) > 0.8
    assert (result.found, result.score, tracker.fresh) == (True, 0.9, (False,))


def test_follows_several_in_the_order_of_the_phrases() -> None:
    frame, box = scene(100, 100)
    still = (400.0, 300.0, 500.0, 400.0)
    tracker = started(frame, grounded(still, text="the wall"), grounded(box))
    for step in range(1, 11):
        frame, box = scene(100 + 9 * step, 100)
        tracker.advance(frame)
    wall, thing = tracker.results
    assert (wall.text, thing.text) == ("the wall", "the thing")
    assert iou(wall.box, still) > 0.95 and iou(thing.box, box) > 0.85


def test_gives_up_when_the_object_leaves() -> None:
    frame, box = scene(400, 150)
    tracker = started(frame, grounded(box))
    seen = []
    for step in range(1, 30):
        frame, box = scene(400 + 9 * step, 150)
        tracker.advance(frame)
        seen.append(tracker.results[0].found)
        left, _, right, _ = tracker.results[0].box
        assert 0 <= left <= right <= WIDTH
    assert seen[:10] == [True] * 10
    assert not seen[-1]
    assert seen == sorted(seen, reverse=True), "what has left does not come back by itself"


def test_knows_what_it_cannot_follow() -> None:
    """Other things where the object was, and the same in another light."""
    greys = [cv2.cvtColor(scene(200, 150)[0], cv2.COLOR_BGR2GRAY)]
    greys += [cv2.cvtColor(texture(HEIGHT, WIDTH, seed), cv2.COLOR_BGR2GRAY) for seed in range(5)]
    greys += [np.asarray(cv2.add(greys[0], 60), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)]
    boxes = np.array([[200.0, 150.0, 320.0, 270.0]])
    outcomes = [bool(carry(greys[0], grey, boxes)[1][0]) for grey in greys]
    assert outcomes == [True] + [False] * 7


def test_holds_the_box_where_there_is_nothing_to_follow() -> None:
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    box = (100.0, 100.0, 200.0, 200.0)
    tracker = started(frame, grounded(box))
    tracker.advance(frame)
    assert tracker.results[0].box == box


@pytest.mark.parametrize(("late", "dx", "dy"), [(1, 30, 9), (12, 10, 4), (24, 6, 3)])
def test_a_late_grounding_is_moved_to_the_present(late: int, dx: float, dy: float) -> None:
    frame, asked = scene(100, 150)
    tracker = started(frame, grounded(asked, score=0.1))  # nothing is carried
    tracker.mark()
    for step in range(1, late + 1):
        frame, box = scene(100 + dx * step, 150 + dy * step)
        tracker.advance(frame)
    tracker.update([grounded(asked)])
    (result,) = tracker.results
    assert iou(asked, box) < 0.6, "without moving it would be wrong"
    assert iou(result.box, box) > 0.85
    assert result.found and tracker.fresh == (True,)


def test_smoothing_does_not_lag() -> None:
    """Groundings that jitter around a moving object: less jitter, and no bias to the past."""
    rng = np.random.default_rng(0)
    frame, box = scene(60, 150)
    tracker = started(frame, grounded(box))
    asked, offsets, jitters = box, [], []
    for step in range(1, 41):
        frame, box = scene(60 + 9 * step, 150)
        tracker.advance(frame)
        jitter = rng.normal(0, 6)
        left, top, right, bottom = asked
        tracker.update([grounded((left + jitter, top, right + jitter, bottom))])
        tracker.mark()  # answered at the next frame: always one frame late
        asked = box
        if step > 1:
            offsets.append(tracker.results[0].box[0] - box[0])
            jitters.append(jitter)
    assert abs(np.mean(offsets)) < 3, "a box that lagged would be 9 pixels behind"
    assert np.std(np.diff(offsets)) < 0.7 * np.std(np.diff(jitters))


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ([0.55, 0.58, 0.61], "--+"),  # appears above the higher threshold, 0.6
        ([0.61, 0.55, 0.45, 0.41], "++++"),  # stays down to the lower one, 0.4
        ([0.9, 0.1, 0.9], "+++"),  # a brief miss
        ([0.9, 0.1, 0.1, 0.45, 0.1, 0.1, 0.9], "+++++++"),  # a hit in between counts
        ([0.9, 0.1, 0.1, 0.1, 0.55, 0.61], "+++--+"),  # the third in a row is one too many
        ([0.1, 0.9, 0.1, 0.1, 0.1], "-+++-"),
    ],
)
def test_hysteresis(scores: list[float], found: str) -> None:
    tracker = Tracker(THRESHOLD, Tracking(hysteresis=math.log(1.5), max_misses=2))
    frame, box = scene(200, 150)
    seen = ""
    for score in scores:
        ask(tracker, frame, grounded(box, score))
        seen += "+" if tracker.results[0].found else "-"
    assert seen == found


def test_thresholds_lie_around_the_bundles() -> None:
    for threshold in (0.0, 0.05, 0.36, 0.9, 1.0):
        appear, stay = Tracking().thresholds(threshold)
        assert 0 <= stay <= threshold <= appear <= 1
        assert (stay < threshold < appear) == (0 < threshold < 1)
    assert Tracking(hysteresis=0).thresholds(0.3) == pytest.approx((0.3, 0.3))


def test_an_identity_lasts_through_misses_and_ends_with_another_object() -> None:
    frame, box = scene(200, 150)
    elsewhere = (400.0, 300.0, 500.0, 400.0)
    tracker = started(frame, grounded(box, 0.1), max_misses=2)
    answers = [grounded(box), grounded(box, 0.1), grounded(elsewhere), grounded(box)]
    answers += [grounded(elsewhere)] * 3
    numbers, boxes, fresh = [tracker.track_ids[0]], [], []
    for answer in answers:
        ask(tracker, frame, answer)
        numbers.append(tracker.track_ids[0])
        fresh.append(tracker.fresh[0])
        boxes.append(tracker.results[0].box)
    assert numbers == [0, 1, 1, 1, 1, 1, 1, 2]
    assert fresh == [True, False, False, True, False, False, True]
    assert [iou(b, box) > 0.9 for b in boxes] == [True] * 6 + [False]
    assert boxes[-1] == elsewhere


def test_a_cut_is_followed_at_once() -> None:
    """The tracker has given up: the grounding alone says where the object is now."""
    frame, box = scene(200, 150)
    tracker = started(frame, grounded(box))
    other = np.ascontiguousarray(255 - texture(HEIGHT, WIDTH, 3))
    elsewhere = (400.0, 300.0, 500.0, 400.0)
    ask(tracker, other, grounded(elsewhere))
    assert tracker.results[0].box == elsewhere
    assert tracker.track_ids == (2,) and tracker.results[0].instances[0].track_id == 2


def test_phrases_keep_their_objects_when_others_come_and_go() -> None:
    frame, box = scene(200, 150)
    left, right = grounded(box, text="left"), grounded((400.0, 300.0, 500.0, 400.0), text="right")
    tracker = started(frame, left, right)
    assert tracker.track_ids == (1, 2)
    new = replace(left, text="new")
    ask(tracker, frame, new, right, right)
    assert [result.text for result in tracker.results] == ["new", "right", "right"]
    assert tracker.track_ids == (3, 2, 4)


def several(*boxes: tuple[float, float, float, float]) -> Grounding:
    """All boxes are of one phrase, the best first."""
    places = tuple(Place(box, 0.9) for box in boxes)
    return Grounding("the dogs", boxes[0], 0.9, True, places)


def ids_of(tracker: Tracker) -> dict[int, tuple[float, ...]]:
    """Track id -> rounded box, of the first phrase's instances."""
    return {p.track_id: tuple(map(round, p.box)) for p in tracker.results[0].instances}


def test_every_instance_keeps_its_id_while_their_order_changes() -> None:
    frame, box = scene(200, 150)
    left, right, third = (10.0, 10.0, 90.0, 90.0), (400.0, 300.0, 500.0, 400.0), box
    tracker = started(frame, several(left, right), max_misses=1)
    first = ids_of(tracker)
    assert set(first) == {1, 2} and first[1] == left and first[2] == right
    ask(tracker, frame, several(right, third, left))
    assert tracker.track_ids == (1,), "the best one now is another one of the same phrase"
    assert ids_of(tracker) == first | {3: tuple(map(round, third))}
    ask(tracker, frame, several(left, right))
    assert set(ids_of(tracker)) == {1, 2, 3}, "missed once"
    ask(tracker, frame, several(left, right))
    assert ids_of(tracker) == first, "missed twice"


def test_instances_move_with_the_picture_and_leave_it() -> None:
    frame, box = scene(200, 150)
    corner = (0.0, 0.0, 60.0, 60.0)
    tracker = started(frame, several(box, corner))
    moved = np.roll(frame, (8, -12), axis=(0, 1))
    tracker.advance(moved)
    best, other = tracker.results[0].instances
    assert np.abs(np.subtract(best.box, np.add(box, (-12, 8, -12, 8)))).max() < 2
    assert other.box[0] == 0 and other.track_id == 2
    for _ in range(6):
        moved = np.roll(moved, (0, -12), axis=(0, 1))
        tracker.advance(moved)
    assert [place.track_id for place in tracker.results[0].instances] == [1]


def test_frames_of_another_size() -> None:
    frame, box = scene(200, 150)
    tracker = started(frame, grounded(box))
    tracker.mark()
    small = np.ascontiguousarray(frame[:90, :100])
    tracker.advance(small)
    tracker.update([grounded((10.0, 10.0, 60.0, 60.0))])
    assert len(tracker.results) == 1
    assert all(0 <= edge <= 100 for edge in tracker.results[0].box)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 0},
        {"weight": 1.5},
        {"hysteresis": -1},
        {"max_misses": -1},
        {"match_iou": 0},
    ],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(GroundingError, match=rf"Tracking\.{name}: expected"):
        replace(Tracking(), **wrong)
