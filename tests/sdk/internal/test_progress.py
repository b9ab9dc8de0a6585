"""How far a long run is: a line rewritten on a terminal, rare lines in a log."""

import io
import sys

import pytest

from sdk._internal import progress
from sdk._internal.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.0)
    with Progress("frames", total=2000, done=500) as shown:
        shown.advance(500)
    line, wiped, end = terminal.getvalue().split("\r")
    assert line.startswith("[############------------]  50%  1,000/2,000 frames, ")
    assert wiped.strip() == end == "" and len(wiped) == len(line)


def test_progress_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with Progress("frames", total=None) as shown:
        shown.advance()
        assert log.getvalue() == "", "too early for a line"
        monkeypatch.setattr(shown, "_due", 0.0)
        shown.advance()
    assert log.getvalue().startswith("2 frames, ") and log.getvalue().endswith(" a second\n")
