"""What is in a box, against the tokens that it is made of."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdk.bundle.contract import CLASSES, COLOURS, DETECTIONS, PLACES
from sdk.lessons.looks import looks, middle_weights, weighed_looks
from train.data.coco import COCO_CLASSES
from train.data.colours import NAMES
from train.fusion.layers import cells_within

DIM, GRID = 8, 6
sides = st.floats(0.02, 1)
boxes = st.tuples(st.floats(0, 1), st.floats(0, 1), sides, sides)


def tokens() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(size=(1, GRID**2, DIM + DIM // 2 + DETECTIONS + COLOURS)).astype(np.float32)


def test_training_and_runtime_mean_the_same_classes_and_colours() -> None:
    assert (len(COCO_CLASSES), len(NAMES)) == (CLASSES, COLOURS)


@given(boxes)
def test_the_middle_of_a_box_is_what_training_means_by_it(box: tuple[float, ...]) -> None:
    weights = middle_weights(np.array([box]), GRID)
    assert np.isclose(weights.sum(), 1)
    ticks = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    wanted = cells_within(torch.tensor([[box]], dtype=torch.float64), ticks)
    np.testing.assert_allclose(weights, wanted[0].numpy())


def test_a_small_box_looks_like_its_cell() -> None:
    visual = tokens()
    row, column = 2, 4
    box = np.array([[(column + 0.5) / GRID, (row + 0.5) / GRID, 1e-6, 1e-6]])
    visual[0] = 0
    cell = visual[0, row * GRID + column]
    cell[:] = tokens()[0, 7]
    (seen,) = looks(visual, box) / middle_weights(box, GRID).max()
    np.testing.assert_allclose(seen[:DIM], cell[:DIM], rtol=1e-5)
    places = cell[DIM + DIM // 2 :][:DETECTIONS].reshape(PLACES, CLASSES + 4)[:, :CLASSES]
    np.testing.assert_allclose(seen[DIM:][:CLASSES], 2 * np.sqrt(places.max(0)), rtol=1e-5)
    np.testing.assert_allclose(seen[DIM + CLASSES :][:COLOURS], cell[-COLOURS:], rtol=1e-5)


def test_size_tells_a_large_thing_from_a_small_one() -> None:
    found = looks(tokens(), np.array([[0.5, 0.5, 0.8, 0.4], [0.5, 0.5, 0.1, 0.2]]))
    np.testing.assert_allclose(found[:, -2:], np.log([[0.8, 0.4], [0.1, 0.2]]), rtol=1e-5)


@given(boxes)
def test_weighing_first_is_the_same(box: tuple[float, ...]) -> None:
    weights = np.random.default_rng(1).normal(size=DIM + CLASSES + COLOURS + 2)
    visual, candidates = tokens(), np.array([box, (0.5, 0.5, 0.2, 0.1)])
    wanted = looks(visual, candidates) @ weights
    np.testing.assert_allclose(weighed_looks(visual, candidates, weights), wanted, rtol=1e-4)
