"""Arguments that are no numbers, or no numbers that make sense."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sdk import Grounder, Tracking
from tests.faults.case import Case, check_grounding
from tests.tiny_bundle import write_tiny_bundle

VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "2", "auto", b"x", object(), lambda: 1, type, ..., NotImplemented),
    *(0, 1, -1, 3, 2**31, 2**63, 10**400, -(10**400), 0.5, 1.5, -0.0, 1e308, 1 + 1j),
    *(float("nan"), float("inf"), float("-inf"), np.float64("nan"), np.int64(3), np.bool_(True)),
    *([], [1], (1, 2), {}, {"a": 1}, set(), np.array([1, 2]), np.zeros(0), range(3)),
)
TRACKING = ("hysteresis", "max_misses", "weight", "match_iou")


def values(rng: Random, folder: Path) -> Iterator[Case]:
    """One argument of the public calls at a time."""
    bundle = write_tiny_bundle(folder / "bundle")
    grounder = Grounder.load(bundle)
    frame = np.zeros((40, 60, 3), np.uint8)
    view = grounder.encode(frame)

    def ground(**options: Any) -> None:
        check_grounding(grounder.ground(frame, "the dog", **options), 60, 40)

    def region(value: Any) -> None:
        edges: list[Any] = [0, 0, 50, 30]
        edges[rng.randrange(4)] = value
        ground(region=tuple(edges))

    def stream(**options: Any) -> None:
        with grounder.stream([frame], "the dog", **options) as results:
            for result in results:
                check_grounding(result.results[0], 60, 40)

    calls: dict[str, Callable[[Any], object]] = {
        "alternatives": lambda value: ground(alternatives=value),
        "view.alternatives": lambda value: view.ground("a cat", alternatives=value),
        "region": lambda value: ground(region=value),
        "region edge": region,
        "load.bundle": lambda value: Grounder.load(value),
        "load.device": lambda value: Grounder.load(bundle, device=value),
        "load.precision": lambda value: Grounder.load(bundle, precision=value),
        "load.threads": lambda value: Grounder.load(bundle, threads=value),
        "load.engines": lambda value: Grounder.load(bundle, engines=value),
        "load.spelling": lambda value: Grounder.load(bundle, spelling=value),
        **{
            f"stream.{name}": lambda value, name=name: stream(**{name: value})
            for name in ("every", "policy", "backlog", "reconnect_seconds", "tracking")
        },
        "stream.source": lambda value: grounder.stream(value, "the dog").close(),
        **{
            f"Tracking.{name}": lambda value, name=name: stream(tracking=Tracking(**{name: value}))
            for name in TRACKING
        },
    }
    while True:
        name, value = rng.choice(list(calls)), rng.choice(VALUES)
        yield Case(f"{name}={type(value).__name__!a}", lambda n=name, v=value: calls[n](v))
