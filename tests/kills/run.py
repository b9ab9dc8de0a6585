"""Kills a program at random moments, looks at what it left, and starts it again."""

import math
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

import psutil

from tests.faults.case import Wrong, expect

LONGEST_CHAIN = 10
"""Kills in a row, after which a run may go to its end."""
HANG_SECONDS = 1800.0
"""For a run that nobody kills."""
LATEST = 1.1
"""Of the time that a whole run takes: a kill that comes later finds it finished."""


class Target(Protocol):
    """A program that writes to `out`, a path of its own."""

    def begin(self, out: Path) -> None:
        """Put there what is there before the first run."""

    def run(self, out: Path) -> int:
        """Run to the end, in a process of its own; the exit code."""

    def check(self, out: Path) -> None:
        """After a kill. Raises what loading what is there raises, or Wrong."""

    def compare(self, out: Path, whole: Path) -> None:
        """After the end. Raises Wrong unless there is what a run without kills has left."""


Prepare = Callable[[Path], Target]
"""Makes all that a program reads, in a folder."""


@dataclass
class Tally:
    """What came of the kills of one program."""

    kills: int = 0
    finished: int = 0
    """Runs that came to their end on what killed ones had left."""
    seconds: float = 0.0
    """That a run without kills takes, the last one."""
    wrong: list[str] = field(default_factory=list)

    def hold(self, when: str, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception as error:
            self.wrong.append(f"{when}: {type(error).__name__}: {error}"[:300])


def run_kills(prepare: Prepare, kills: int, seed: int, minutes: float = math.inf) -> Tally:
    """Kill what `prepare` makes `kills` times, or until the minutes are over.

    The same seed takes the same moments, as parts of a whole run.
    """
    rng, tally = random.Random(f"{seed}/{prepare.__qualname__}"), Tally()
    last = time.perf_counter() + 60 * minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = prepare(folder)
        whole, place = folder / "whole", folder / "place"
        out = place / "out"
        target.begin(whole)
        began = time.perf_counter()
        tally.hold("without a kill", lambda: _finish(_start(target, whole)))
        if tally.wrong:
            return tally
        tally.seconds = round(time.perf_counter() - began, 2)
        chain = 0
        place.mkdir()
        target.begin(out)
        while (more := tally.kills < kills and time.perf_counter() < last) or chain:
            began = time.perf_counter()
            process = _start(target, out)
            if more and chain < LONGEST_CHAIN:
                process.join(rng.uniform(0, LATEST * tally.seconds))
            if more and chain < LONGEST_CHAIN and process.is_alive():
                chain, tally.kills = chain + 1, tally.kills + 1
                tally.hold(f"at kill {tally.kills}", lambda: _kill(process))  # noqa: B023
                tally.hold(f"after kill {tally.kills}", lambda: target.check(out))
                continue
            tally.hold(f"going on after kill {tally.kills}", lambda: _finish(process))  # noqa: B023
            seconds = round(time.perf_counter() - began, 2)
            # Machines get busy and idle again; one that went on had less to do.
            tally.seconds = max(tally.seconds, seconds) if chain else seconds
            tally.hold("at the end", lambda: target.compare(out, whole))
            chain, tally.finished = 0, tally.finished + 1
            shutil.rmtree(place)
            place.mkdir()
            target.begin(out)
    return tally


def _start(target: Target, out: Path) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.kills.targets"])  # so that each starts at once
    process = context.Process(target=_work, args=(target, out))
    process.start()
    return process


def _work(target: Target, out: Path) -> None:
    """In a process; what it prints goes into a file beside `out`."""
    with _said(out).open("w") as file, redirect_stdout(file), redirect_stderr(file):
        code = target.run(out)
    os._exit(code)


def _finish(process: ForkServerProcess) -> None:
    process.join(HANG_SECONDS)
    if process.is_alive():
        _kill(process)
        raise Wrong(f"not at its end after {HANG_SECONDS:g} s")
    expect(process.exitcode == 0, f"exit code {process.exitcode}")


def _kill(process: ForkServerProcess) -> None:
    """With SIGKILL; its own processes have ended, too, when this returns."""
    children = []
    with suppress(psutil.NoSuchProcess):  # it has just ended
        children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    _, left = psutil.wait_procs(children, HANG_SECONDS)
    expect(not left, f"{len(left)} processes outlive the one that started them")


def _said(out: Path) -> Path:
    return out.with_name(f"{out.name}.txt")
