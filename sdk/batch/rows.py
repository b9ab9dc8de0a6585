"""The table: a row for every box, or for what could not be read."""

import json
from collections.abc import Sequence
from typing import TypedDict, cast, get_args, get_type_hints

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
    name: (get_args(hint) or (hint,))[0]  # float of "float | None"
    for name, hint in get_type_hints(Row).items()
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
            found = rank < len(result.instances)
            named = result.text, rank, *place.box, place.score, found
            rows.append(_row(source, frame, time_s, *named, None))
    return rows


def error_row(source: str, frame: int, time_s: float | None, error: str) -> Row:
    """For what could not be read."""
    return _row(source, frame, time_s, *(len(COLUMNS) - 4) * [None], error)


def _row(*values: str | float | None) -> Row:
    return cast(Row, dict(zip(COLUMNS, values, strict=True)))
