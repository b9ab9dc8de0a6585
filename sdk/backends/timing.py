"""How long graphs take, beside each other."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.backends.session import Session


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
