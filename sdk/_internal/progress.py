"""How far a long run is, on stderr: a line rewritten on a terminal, rare lines in a log."""

import shutil
import sys
import time
from datetime import timedelta

from sdk._internal.closing import Closing

TERMINAL_SECONDS, LOG_SECONDS = 0.2, 30.0
"""Between two reports."""
BAR = 24
"""Characters."""


class StatusLine(Closing):
    """A line on stderr; leaving the `with` block wipes it off a terminal."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def show(self, line: str) -> None:
        """On a terminal in place of the line before."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            line = line[:width].ljust(width)
        print(line, end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.terminal:
            self.show("")


class Progress(StatusLine):
    """Counts what is done.

    Examples:
        >>> with Progress("frames", total=250) as progress:
        ...     progress.advance()
    """

    def __init__(self, unit: str, total: int | None, done: int = 0) -> None:
        """Begin to count.

        Args:
            total: None where it is not known.
            done: what was done before this run.
        """
        super().__init__()
        self.done = done
        self._unit, self._total, self._before = unit, total, done
        self._pause = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        self._started = time.perf_counter()
        self._due = self._started + self._pause

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if time.perf_counter() >= self._due:
            self._due = time.perf_counter() + self._pause
            self.show(self.text())

    def text(self) -> str:
        """As "[######------]  50%  120/240 frames, 31.2 a second, 0:00:04 left"."""
        rate = (self.done - self._before) / max(time.perf_counter() - self._started, 1e-9)
        speed = f"{self._unit}, {rate:.1f} a second"
        if self._total is None:
            return f"{self.done:,} {speed}"
        total = max(self._total, self.done, 1)  # a video's header may announce too few
        share = self.done / total
        bar = "#" * int(BAR * share)
        line = f"[{bar:-<{BAR}}] {share:4.0%}  {self.done:,}/{total:,} {speed}"
        return line + (
            f", {timedelta(seconds=round((total - self.done) / rate))} left" if rate else ""
        )
