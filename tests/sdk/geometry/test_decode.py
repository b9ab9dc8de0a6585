"""Box voting: who votes, with what weight, and at the edges. All that is named, other places."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sdk.geometry.boxes import cxcywh_to_xyxy, iou_xyxy
from sdk.geometry.decode import MOST_IOU, best_boxes, instances, next_best, suppress, vote


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_overlapping_candidates_vote_with_squared_scores() -> None:
    boxes = np.array([[0.50, 0.5, 0.2, 0.2], [0.52, 0.5, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1]])
    scores = np.array([0.8, 0.4, 0.7])
    box = vote(boxes, np.vectorize(logit)(scores), 0)
    np.testing.assert_allclose(box, (0.64 * boxes[0] + 0.16 * boxes[1]) / 0.8)


def test_a_single_candidate_is_the_answer_even_without_an_area() -> None:
    for box in ([0.3, 0.4, 0.1, 0.1], [0.3, 0.4, 0.0, 0.0]):
        boxes, logits = best_boxes(np.float32([[box]]), np.float32([[-3.0]]))
        np.testing.assert_array_equal(boxes, np.float32([box]))
        assert logits.tolist() == [-3.0] and boxes.dtype == np.float32


@given(st.integers(0, 2**32 - 1), st.sampled_from([-900.0, -20.0, 0.0, 20.0, 900.0]))
def test_the_voted_box_stays_within_the_voters_at_any_logit(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0.1, 0.9, (2, 7, 4))
    logits = level + rng.normal(size=(2, 7))
    found, best = best_boxes(boxes, logits)
    np.testing.assert_array_equal(best, logits.max(1))
    assert (found >= boxes.min(1) - 1e-9).all() and (found <= boxes.max(1) + 1e-9).all()


def test_the_order_of_candidates_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    boxes, logits = rng.uniform(0.3, 0.7, (9, 4)), rng.normal(size=9)
    order = rng.permutation(9)
    np.testing.assert_allclose(
        vote(boxes[order], logits[order], logits[order].argmax()),
        vote(boxes, logits, logits.argmax()),
    )


def test_a_better_candidate_does_not_vote_for_another_thing() -> None:
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.58, 0.5, 0.2, 0.2]])  # IoU 0.43
    np.testing.assert_allclose(vote(boxes, np.array([1.0, 2.0]), 0), boxes[0])


seeds, sizes = st.integers(0, 2**32 - 1), st.integers(1, 40)


def random_boxes(seed: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 4) xyxy boxes, many of them alike, and scores with ties."""
    rng = np.random.default_rng(seed)
    corner, wh = rng.integers(0, 6, (size, 2)), rng.integers(1, 6, (size, 2))
    boxes = np.hstack([corner, corner + wh]) + rng.normal(0, 0.1, (size, 4))
    return boxes, rng.integers(0, 9, size) / 8


@given(seeds, sizes)
def test_suppression_keeps_the_best_and_no_overlapping_pair(seed: int, size: int) -> None:
    boxes, scores = random_boxes(seed, size)
    kept = suppress(boxes, scores, size)
    overlaps = iou_xyxy(boxes, boxes)
    assert kept[0] == scores.argmax()
    assert (overlaps[np.ix_(kept, kept)][np.triu_indices(len(kept), 1)] <= MOST_IOU).all()
    assert (np.diff(scores[kept]) <= 0).all()
    for box in set(range(size)) - set(kept.tolist()):  # each went for a better one's sake
        assert ((overlaps[box, kept] > MOST_IOU) & (scores[kept] >= scores[box])).any()


@given(seeds, sizes)
def test_suppression_is_idempotent(seed: int, size: int) -> None:
    boxes, scores = random_boxes(seed, size)
    kept = suppress(boxes, scores, size)
    assert suppress(boxes[kept], scores[kept], size).tolist() == list(range(len(kept)))
    assert suppress(boxes, scores, 3).tolist() == kept[:3].tolist()


@given(seeds, sizes)
def test_the_next_best_are_candidates_that_the_best_box_leaves(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, logits = rng.uniform(0.0, 1.0, (size, 4)), rng.normal(size=size)
    taken = np.vstack([vote(boxes, logits, int(logits.argmax())), rng.uniform(0, 1, (2, 4))])
    others = next_best(taken, boxes, logits, size)
    assert len(set(others.tolist())) == len(others) <= size
    assert (np.diff(logits[others]) <= 0).all()
    inside = cxcywh_to_xyxy(np.vstack([taken, boxes[others]])).clip(0, 1)
    overlaps = iou_xyxy(inside[3:], inside)
    np.fill_diagonal(overlaps[:, 3:], 0)
    assert (overlaps <= MOST_IOU + 1e-12).all()
    assert next_best(taken, boxes, logits, 2).tolist() == others[:2].tolist()


def test_what_is_outside_the_picture_is_no_place() -> None:
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [1.5, 0.5, 0.2, 0.2], [0.2, 0.2, 0.0, 0.1]])
    assert next_best(boxes[:1], boxes, np.array([3.0, 2.0, 1.0]), 5).shape == (0,)


def test_instances_are_all_that_is_likely_enough_beside_the_best_box() -> None:
    here, there, far = [0.2, 0.2, 0.2, 0.2], [0.6, 0.6, 0.2, 0.2], [0.8, 0.2, 0.1, 0.1]
    near_there = [0.62, 0.6, 0.2, 0.2]
    boxes = np.array([here, there, near_there, far])
    members = np.array([2.0, 1.0, 0.5, -1.0])
    found, logits = instances(np.array(here), boxes, members, 0.0, 4)
    assert logits.tolist() == [1.0]
    assert there[0] < found[0, 0] < near_there[0], "its neighbour votes"
    found, logits = instances(np.array(here), boxes, members, -2.0, 4)
    assert logits.tolist() == [1.0, -1.0] and found[1].tolist() == far
    assert instances(np.array(here), boxes, members, -2.0, 1)[1].tolist() == [1.0]
    found, logits = instances(np.array(here), boxes, members, np.inf, 4)
    assert found.shape == (0, 4) and logits.shape == (0,)


def test_boxes_of_the_same_thing_are_suppressed() -> None:
    middle, right, left = (0.4, 0.1, 0.5, 0.2), (0.6, 0.3, 1.0, 0.8), (0.0, 0.5, 0.2, 0.9)
    boxes = np.array([middle, right, left, np.add(left, 0.01)])
    assert suppress(boxes, np.array([0.2, 0.9, 0.5, 0.6]), 10).tolist() == [1, 3, 0]
