"""What a fault is, and what may come of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sdk.results import Grounding


class Wrong(Exception):
    """An answer that breaks what `sdk` promises."""


@dataclass(frozen=True)
class Case:
    """One fault. `run` answers, or raises GroundingError, or Wrong for an answer that is none."""

    name: str
    run: Callable[[], object]


Generator = Callable[[Random, Path], Iterator[Case]]
"""Endless cases of one kind, in a folder of their own."""


def expect(condition: bool, what: str) -> None:
    """Raises Wrong."""
    if not condition:
        raise Wrong(what)


def check_grounding(result: Grounding, width: int, height: int) -> None:
    """Raises Wrong unless all boxes are in the frame and all scores are probabilities."""
    for place in result.places():
        left, top, right, bottom = place.box
        expect(0 <= left <= right <= width and 0 <= top <= bottom <= height, f"box {place.box}")
        expect(0 <= place.score <= 1, f"score {place.score}")
    expect(result.found == bool(result.instances), "found without instances")
