"""Box voting: who votes, with what weight, and what happens at the edges."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdk.decode import best_boxes, vote


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_overlapping_candidates_vote_with_squared_scores() -> None:
    boxes = np.array([[0.50, 0.5, 0.2, 0.2], [0.52, 0.5, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1]])
    scores = np.array([0.8, 0.4, 0.7])
    box = vote(boxes, np.vectorize(logit)(scores))
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
    np.testing.assert_allclose(vote(boxes[order], logits[order]), vote(boxes, logits))
