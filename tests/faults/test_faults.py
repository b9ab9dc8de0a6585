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


@pytest.mark.parametrize("kind", run.KINDS)
def test_every_fault_is_answered_or_refused_by_type(kind: str) -> None:
    tally = run.run_kind(kind, COUNTS[kind], seed=1)
    assert tally.faults == []
    assert sum(tally.counts.values()) == COUNTS[kind]
    assert (tally.counts[run.ANSWERED] and tally.counts[run.TYPED]) or kind == "server"


def failures(rng: Random, folder: Path) -> Iterator[Case]:
    """One of each, in the order of `run.OUTCOMES`."""

    def typed() -> None:
        raise FrameError("no frame")

    yield Case("fine", lambda: None)
    yield Case("refused", typed)
    yield Case("wrong", lambda: expect(False, "two is three"))
    yield Case("foreign", lambda: 1 // 0)
    yield Case("crash", lambda: os.kill(os.getpid(), signal.SIGKILL))
    yield Case("hang", lambda: time.sleep(60))
    yield Case("after", lambda: None)


def test_the_tool_sees_every_kind_of_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [run._outcome(case.run)[0] for case in list(failures(Random(0), Path()))[:4]]
    assert outcomes == [run.ANSWERED, run.TYPED, run.WRONG, run.FOREIGN]
