"""Logistic regression by Newton's method (iteratively reweighted least squares)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

MOST_STEPS = 25
ROUNDING = 1e-12
"""Of the loss, relative: what it may seem to grow by where it is least."""


def fit_logistic(
    features: Array,
    labels: Array,
    offsets: Array,
    weights: Array,
    penalty: float,
    smallest_gain: float = 1e-3,
) -> tuple[Array, float]:
    """Weights w (F,) and bias b, so that sigmoid(offset + w x + b) is the probability of a label 1.

    Minimises the weighted cross-entropy plus `penalty` / 2 |w|^2.

    Args:
        features: (N, F). labels: (N,) in [0, 1]. offsets: (N,) logits that are known beforehand.
        weights: (N,) of the rows. smallest_gain: of the loss, from one step to the next, relative:
            less ends it.
    """
    design = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    rough = design.astype(np.float32)  # for the curvature, which only says how far to step
    ridge = np.full(design.shape[1], penalty, np.float64)
    ridge[-1] = 0.01 * penalty
    solution = np.zeros(design.shape[1])

    def loss(candidate: Array) -> float:
        logits = offsets + design @ candidate
        fit = weights @ (np.logaddexp(0, logits) - labels * logits)
        return float(fit + 0.5 * ridge @ candidate**2)

    before = loss(solution)
    for _ in range(MOST_STEPS):
        chance = 0.5 * (1 + np.tanh(0.5 * (offsets + design @ solution)))
        gradient = design.T @ (weights * (chance - labels)) + ridge * solution
        share = (weights * chance * (1 - chance)).astype(np.float32)
        curvature = (rough.T * share) @ rough + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        most = before * (1 + ROUNDING)
        while (after := loss(solution - step)) > most and np.abs(step).max() > 1e-9:
            step = step / 2
        solution = solution - step
        if before - after <= smallest_gain * before:
            break
        before = after
    return solution[:-1], float(solution[-1])
