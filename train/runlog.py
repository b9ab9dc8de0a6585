"""The record of a run: CSV files in its folder, which `plots.py` draws, and trackers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

from sdk._internal.files import replace_file

LOSS, ACCURACY = "loss.csv", "accuracy.csv"
PROJECT = "curves"
"""The folder in a run's folder where a tracker that writes files keeps them."""


class RunLog:
    """Rows by step; a resumed run takes back those after its checkpoint and writes them again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, row: Mapping[str, float]) -> None:
        """Append a row, whose first key is the step; the first row of a file writes its header.

        The file is replaced as a whole: a process killed meanwhile leaves no half row.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.is_file() else ",".join(row) + "\n"
        replace_file(path, f"{before}{','.join(map(str, row.values()))}\n".encode())

    def columns(self, name: str) -> dict[str, list[float]]:
        """The columns of a file by their names; none where there is no file, or no row."""
        path = self._folder / name
        if not path.is_file():
            return {}
        header, *rows = (line.split(",") for line in path.read_text().splitlines())
        columns = zip(*(map(float, row) for row in rows), strict=True)
        return dict(zip(header, map(list, columns), strict=bool(rows)))

    def renumber(self, change: Callable[[int], int]) -> None:
        """Give every row the step that `change` makes of its own."""
        for name, text in self.read().items():
            header, *rows = text.splitlines()
            moved = [f"{change(_step(row))},{row.split(',', 1)[1]}" for row in rows]
            replace_file(self._folder / name, "\n".join([header, *moved, ""]).encode())

    def take_back(self, step: int) -> None:
        """Drop the rows after `step`."""
        for name, text in self.read().items():
            header, *rows = text.splitlines()
            kept = [row for row in rows if _step(row) <= step]
            if kept:
                replace_file(self._folder / name, "\n".join([header, *kept, ""]).encode())
            else:
                (self._folder / name).unlink()

    def read(self) -> dict[str, str]:
        """The text of each file that there is, by its name."""
        paths = [self._folder / name for name in (LOSS, ACCURACY)]
        return {path.name: path.read_text() for path in paths if path.is_file()}

    def write(self, texts: Mapping[str, str]) -> None:
        """The inverse of `read`."""
        for name, text in texts.items():
            replace_file(self._folder / name, text.encode())


def _step(row: str) -> int:
    return int(float(row.split(",", 1)[0]))


def tracker(name: str) -> str | None:
    """What `Accelerator(log_with=...)` takes for `TrainConfig.track`.

    Raises:
        ValueError: accelerate knows no such tracker, or it is not installed.
    """
    if not name:
        return None
    known = sorted(str(kind) for kind in LoggerType if kind != LoggerType.ALL)
    if name not in known:
        raise ValueError(f"--track: expected one of {', '.join(known)}, got {name!r}")
    if name not in map(str, get_available_trackers()):
        raise ValueError(f"--track: {name} is not installed; pip install {name}")
    return name
