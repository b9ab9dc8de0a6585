"""Some hundred generated faults, and that the tool which asks them sees every kind of failure."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from sdk import FrameError
from tests.faults import run
from tests.faults.case import Case, expect

COUNTS = {"frames": 250, "phrases": 200, "values": 200, "bundles": 60, "streams": 40, "server": 80}
SEED_WITH_EACH_ONCE = 128


@pytest.mark.parametrize("kind", run.KINDS)
def test_every_fault_is_answered_or_refused_by_type(kind: str) -> None:
    tally = run.run_cases(run.KINDS[kind], COUNTS[kind], seed=1)
    assert tally.faults == []
    assert sum(tally.counts.values()) == COUNTS[kind]
    assert (tally.counts[run.ANSWERED] and tally.counts[run.TYPED]) or kind == "server"


def failures(rng: Random, folder: Path) -> Iterator[Case]:
    """Cases named by what comes of them."""

    def typed() -> None:
        raise FrameError("no frame")

    cases = (
        Case(run.ANSWERED, lambda: None),
        Case(run.TYPED, typed),
        Case(run.WRONG, lambda: expect(False, "two is three")),
        Case(run.FOREIGN, lambda: 1 // 0),
        Case(run.CRASH, lambda: os.kill(os.getpid(), signal.SIGKILL)),
        Case(run.HANG, lambda: time.sleep(60)),
    )
    while True:
        yield rng.choice(cases)


def test_the_tool_sees_every_kind_of_failure() -> None:
    tally = run.run_cases(failures, 6, SEED_WITH_EACH_ONCE, hang_seconds=2)
    assert tally.counts == dict.fromkeys(run.OUTCOMES, 1)
    assert [fault["outcome"] for fault in tally.faults] == [f["case"] for f in tally.faults]
