"""The learning rate over a run."""

from __future__ import annotations

import math


def warm_cosine(step: int, steps: int, warm_up: int) -> float:
    """Share of the peak at `step` of 1, ... `steps`: a cosine down to a hundredth.

    Before it a linear warm-up of `warm_up` steps, at most a tenth of the run.
    """
    warm = min(1.0, step / max(1, min(warm_up, steps // 10)))
    progress = min(1.0, step / max(1, steps))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
