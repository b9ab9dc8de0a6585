"""Logistic regression: the minimum of its loss, whatever it is given."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sdk.lessons.regression import fit_logistic


def problem(seed: int) -> tuple[NDArray[np.float64], ...]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(60, 5))
    labels = (features @ rng.normal(size=5) + rng.normal(size=60) > 0.5).astype(float)
    return features, labels, rng.normal(size=60), rng.uniform(0.1, 2, 60)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_no_other_weights_are_better(seed: int, penalty: float) -> None:
    features, labels, offsets, weights = problem(seed)
    found, bias = fit_logistic(features, labels, offsets, weights, penalty)
    chance = 1 / (1 + np.exp(-(offsets + features @ found + bias)))
    slope = features.T @ (weights * (chance - labels)) + penalty * found
    assert np.abs(slope).max() < 0.5  # of a convex loss, beside weights of 60 in all
    assert abs(weights @ (chance - labels) + 0.01 * penalty * bias) < 0.5


def test_what_is_known_beforehand_is_not_learned_again() -> None:
    features, _, offsets, _ = problem(0)
    truth = np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    rng = np.random.default_rng(1)
    rows = np.tile(features, (200, 1))
    known = np.tile(offsets, 200)
    chance = 1 / (1 + np.exp(-(known + rows @ truth - 0.3)))
    labels = (rng.uniform(size=len(rows)) < chance).astype(float)
    found, bias = fit_logistic(rows, labels, known, np.ones(len(rows)), 1e-3)
    np.testing.assert_allclose(found, truth, atol=0.15)
    assert abs(bias + 0.3) < 0.15


def test_examples_that_are_told_apart_perfectly_have_finite_weights() -> None:
    features = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    found, _ = fit_logistic(
        features, np.array([0.0, 0, 1, 1]), np.zeros(4), np.full(4, 1e3), penalty=1e-3
    )
    assert np.isfinite(found).all() and found[0] > 1
