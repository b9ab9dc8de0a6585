"""The table: a row for every box, or for what could not be read."""

import json
from collections.abc import Sequence
from typing import TypedDict

from sdk.results import Grounding


class Row(TypedDict):
    """One line of JSON, one row of Parquet. Boxes are in pixels of the picture or frame."""

    source: str
    """The file, as it was named."""
    frame: int
    """Of a video, from 0; 0 for a picture."""
    time_s: float | None
    """Seconds from the video's beginning; None for a picture."""
    phrase: str | None
    rank: int | None
    """0 is the best box of the phrase, then come the other instances, then the alternatives."""
    left: float | None
    top: float | None
    right: float | None
    bottom: float | None
    score: float | None
    found: bool | None
    """Whether it is one of the instances."""
    error: str | None
    """Why there is no result; then everything from `phrase` on is None."""


COLUMNS = {
    **{"source": str, "frame": int, "time_s": float, "phrase": str, "rank": int},
    **{"left": float, "top": float, "right": float, "bottom": float},
    **{"score": float, "found": bool, "error": str},
}
"""Name -> type, in the order of the table."""


def as_line(row: Row) -> str:
    """A line of JSON."""
    return f"{json.dumps(row)}\n"


def as_row(line: bytes) -> Row:
    """Of a line of JSON. Raises ValueError where it is none, or has other columns."""
    row: Row = json.loads(line)
    if not isinstance(row, dict) or row.keys() != COLUMNS.keys():
        raise ValueError(f"expected a row of {', '.join(COLUMNS)}")
    return row


def result_rows(
    source: str, frame: int, time_s: float | None, results: Sequence[Grounding]
) -> list[Row]:
    """In the order of the phrases, the best box first."""
    rows: list[Row] = []
    for result in results:
        for rank, place in enumerate(result.places()):
            left, top, right, bottom = place.box
            rows.append(
                {
                    "source": source,
                    "frame": frame,
                    "time_s": time_s,
                    "phrase": result.text,
                    "rank": rank,
                    "left": left,
                    "top": top,
                    "right": right,
                    "bottom": bottom,
                    "score": place.score,
                    "found": rank < len(result.instances),
                    "error": None,
                }
            )
    return rows


def error_row(source: str, frame: int, time_s: float | None, error: str) -> Row:
    """For what could not be read."""
    return {
        "source": source,
        "frame": frame,
        "time_s": time_s,
        "phrase": None,
        "rank": None,
        "left": None,
        "top": None,
        "right": None,
        "bottom": None,
        "score": None,
        "found": None,
        "error": error,
    }
