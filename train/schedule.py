"""The learning rate over a run."""

from __future__ import annotations

import math

REWARM_STEPS = 100
"""Steps of `rewarm`."""


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Share of the peak at `step` of 1, ... `steps`: a cosine down to a hundredth.

    Before it a linear warm-up of `warm_up` steps, at most a tenth of the run.
    """
    warm = min(1.0, step / max(1, min(warm_up, steps // 10)))
    progress = min(1.0, step / max(1, steps))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def falling(step: int, steps: int) -> float:
    """Share of the peak at `step` of 1, 2, ...: a tenth of it after each `steps`."""
    return float(0.1 ** ((step - 1) // steps))


def rewarm(step: int, since: int) -> float:
    """Share of the learning rate, rising linearly, where AdamW's moments are new since a step.

    Its second moment is then the mean of a few squared gradients, so a parameter whose gradient is
    mostly noise would move at the full rate. After some 100 gradients it is good to about a tenth.
    At the start of a run (`since` = 0) the warm-up of the schedule does the same.
    """
    return min(1.0, (step - since) / REWARM_STEPS) if since else 1.0
