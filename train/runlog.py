"""The record of a run: CSV files in its folder, which `plots.py` draws."""

from __future__ import annotations

import csv
from pathlib import Path

from sdk.files import replace_file

LOSS, ACCURACY = "loss.csv", "accuracy.csv"


class RunLog:
    """Rows by step; a resumed run takes back those after its checkpoint and writes them again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, row: dict[str, float]) -> None:
        """Append a row, whose first key is the step; the first row of a file writes its header."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.is_file()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if new:
                writer.writeheader()
            writer.writerow(row)

    def take_back(self, step: int) -> None:
        """Drop the rows after `step`."""
        for name in (LOSS, ACCURACY):
            path = self._folder / name
            if path.is_file():
                header, *rows = path.read_text().splitlines()
                kept = [row for row in rows if int(float(row.split(",", 1)[0])) <= step]
                replace_file(path, "\n".join([header, *kept, ""]).encode())
