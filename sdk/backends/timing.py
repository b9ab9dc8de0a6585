"""How long graphs take, beside each other, and whether one is clearly faster."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.backends.session import Session

LEAST_GAIN = 0.05
"""`sure_gain` from which one form of a graph is taken for the sake of its speed."""


def interleaved_ms(
    sessions: Sequence[Session], inputs: dict[str, NDArray[Any]], rounds: int
) -> NDArray[np.float64]:
    """(sessions, rounds) ms; sessions take turns, so that a drift of the machine meets all."""
    taken = np.empty((len(sessions), rounds))
    for session in sessions:
        session.run(inputs)
    for number in range(rounds):
        for index, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(inputs)
            taken[index, number] = 1000 * (time.perf_counter() - start)
    return taken


def sure_gain(taken: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Share of the reference's time that is saved in at least four of five rounds.

    Negative where nothing is. Rounds are compared, not medians: a round's two timings were taken
    one after the other, so what else the machine did meets both.
    """
    return 1 - float(np.quantile(taken / reference, 0.8, method="inverted_cdf"))
