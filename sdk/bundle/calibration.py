"""From the logit of a candidate to a probability, and back."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: the probability that a box is right, from the logit of its candidate."""

    scale: float
    bias: float

    def score(self, logit: float) -> float:
        """sigmoid(scale * logit + bias), in [0, 1]."""
        return 0.5 * (1.0 + math.tanh(0.5 * (self.scale * logit + self.bias)))  # cannot overflow

    def logit(self, score: float) -> float:
        """The logit that has this score: -inf for 0, inf for 1."""
        if not 0 < score < 1:
            return math.inf if score >= 1 else -math.inf
        return (math.log(score) - math.log1p(-score) - self.bias) / self.scale

    def beyond(self, threshold: float, logits: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Shifts taught logits so that 0 lands on the threshold."""
        return self.logit(threshold) + logits / self.scale


IDENTITY = Calibration(scale=1.0, bias=0.0)
"""The plain sigmoid of a logit."""
