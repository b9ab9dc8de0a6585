"""Leaving a run on SIGTERM or Ctrl-C, with its state written."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal ended the run, whose state at `step` is in `checkpoint`."""

    def __init__(self, step: int, checkpoint: Path) -> None:
        super().__init__(f"interrupted; {checkpoint} has step {step}, the same command goes on")


@contextmanager
def on_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at the first SIGTERM or Ctrl-C in the block; the second one acts as before it."""

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        act()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        restore()
