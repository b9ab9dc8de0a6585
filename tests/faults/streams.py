"""Sources that fail, end, hang for a moment or raise what no source should."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sdk import Grounder
from tests.faults.case import Case, check_grounding, expect
from tests.tiny_bundle import write_tiny_bundle

ERRORS: tuple[type[BaseException], ...] = (
    *(ValueError, OSError, StopIteration, RuntimeError, KeyError, MemoryError),
    *(SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError),
)


def streams(rng: Random, folder: Path) -> Iterator[Case]:
    """Iterables of frames, good and bad, under every policy."""
    grounder = Grounder.load(write_tiny_bundle(folder / "bundle"))
    good = np.zeros((40, 60, 3), np.uint8)
    bad: tuple[Any, ...] = (None, "none.png", np.zeros((40, 60)), 3, np.zeros((2, 2, 3), np.uint8))
    while True:
        count, error = rng.randint(0, 6), rng.choice(ERRORS) if rng.random() < 0.6 else None
        wrong = rng.choice(bad) if error is None and rng.random() < 0.5 else good
        options = {
            "policy": rng.choice(["auto", "all", "newest"]),
            "every": rng.randint(1, 3),
            **({"tracking": None} if rng.random() < 0.5 else {}),
        }
        closes_at = rng.choice([None, 0, 2])

        def run(
            count: int = count,
            error: type[BaseException] | None = error,
            wrong: Any = wrong,
            options: dict[str, Any] = options,
            closes_at: int | None = closes_at,
        ) -> None:
            def source() -> Iterator[Any]:
                for _ in range(count):
                    yield good
                yield wrong
                if error is not None:
                    raise error("from the source")

            got = 0
            try:
                with grounder.stream(source(), ["the dog", "a cat"], **options) as stream:
                    for result in stream:
                        for grounding in result.results:
                            check_grounding(grounding, 60, 40)
                        got += 1
                        if got == closes_at:
                            stream.close()
            except Exception as raised:
                # What an iterable raises comes through as it is.
                if error is None or not isinstance(raised, (error, RuntimeError)):
                    raise
            expect(got <= count + 1, f"{got} results of {count + 1} frames")

        yield Case(f"{count} frames, {error and error.__name__}, {options}", run)
