"""Runs generated faults in processes of their own, and says what came of each."""

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from sdk.errors import GroundingError
from tests.faults.bundles import bundles
from tests.faults.case import Generator, Wrong
from tests.faults.frames import frames
from tests.faults.phrases import phrases
from tests.faults.server import server
from tests.faults.streams import streams
from tests.faults.values import values
from tests.waiting import WAIT

KINDS: Mapping[str, Generator] = {
    "frames": frames,
    "phrases": phrases,
    "values": values,
    "bundles": bundles,
    "streams": streams,
    "server": server,
}
ANSWERED, TYPED, WRONG, FOREIGN, CRASH, HANG = OUTCOMES = (
    "answered",
    "typed",
    "wrong",
    "foreign",
    "crash",
    "hang",
)
FAULTS = OUTCOMES[2:]
HANG_SECONDS = 20.0
"""For one case; a process that needs longer is killed."""


@dataclass
class Tally:
    """What came of the cases of one kind, and the faults among them."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, outcome: str, detail: str) -> None:
        self.counts[outcome] += 1
        if outcome in FAULTS:
            self.faults.append({"case": name, "outcome": outcome, "detail": detail})


def run_cases(
    generate: Generator, count: int, seed: int, hang_seconds: float = HANG_SECONDS
) -> Tally:
    """`count` cases; a process that crashes or hangs is followed by another, at the next case."""
    tally, done = Tally(), 0
    context = multiprocessing.get_context("spawn")
    while done < count:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(generate, seed, done, count, theirs), daemon=True
        )
        process.start()
        theirs.close()
        name, started = "starting", False
        try:
            while done < count:
                if not ours.poll(hang_seconds if started else 120):
                    tally.add(name, HANG, f"more than {hang_seconds:g} s")
                    done += 1
                    break
                started = True
                what, *rest = ours.recv()
                if what == "begins":
                    (name,) = rest
                else:
                    tally.add(name, *rest)
                    done += 1
        except EOFError:
            process.join(5)
            tally.add(name, CRASH, f"exit code {process.exitcode}")
            done += 1
        finally:
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
            process.join(WAIT)
            ours.close()
    return tally


def _work(generate: Generator, seed: int, skip: int, count: int, results: Connection) -> None:
    """In a process: the cases from number `skip` on, each with a seed of its own."""
    warnings.simplefilter("ignore")
    sys.stdin = open(os.devnull)  # noqa: SIM115, for the life of the process
    with tempfile.TemporaryDirectory() as folder:
        rng = random.Random()
        cases = generate(rng, Path(folder))
        for number in range(skip, count):
            rng.seed(f"{seed}/{generate.__name__}/{number}")
            case = next(cases)
            results.send(("begins", case.name))
            results.send(("ends", *_outcome(case.run)))
    os._exit(0)  # threads that a source holds must not keep it


def _outcome(run: Callable[[], object]) -> tuple[str, str]:
    try:
        run()
    except GroundingError as error:
        return TYPED, str(error)[:200]
    except Wrong as error:
        return WRONG, str(error)[:200]
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.lineno}"
        return FOREIGN, f"{type(error).__name__} at {at}: {error}"[:200]
    return ANSWERED, ""
