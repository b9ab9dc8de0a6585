"""What every dataset reader gives: photos with referring expressions and their boxes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sdk.errors import GroundingError

T = TypeVar("T")
Box = tuple[float, float, float, float]
REFERRING = "referring"
"""Kind of an expression that singles out one thing and says nothing of what else is visible."""


def as_box(xyxy: Iterable[float]) -> Box:
    """Four edges, of whatever type, as a box."""
    x1, y1, x2, y2 = map(float, xyxy)
    return x1, y1, x2, y2


class DataError(GroundingError):
    """A dataset is absent or a line of it is not what was expected; says which and what to do."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A referring expression. `boxes` are xyxy fractions of the photo; none = it is not there.

    `num_instances`: how many instances of the named class the photo holds, the one that is meant
    included; 0 for a caption's phrase, where nobody counted. `label`: that class, empty where
    nobody said. `context`: boxes of what else the expression names, to tell it by.
    """

    text: str
    boxes: tuple[Box, ...]
    kind: str = "other"
    num_instances: int = 0
    label: str = ""
    context: tuple[Box, ...] = ()

    @property
    def single(self) -> bool:
        """True for exactly one box, the cleaner measure of the field."""
        return len(self.boxes) == 1


@dataclass(frozen=True, slots=True)
class Instance:
    """A labelled object: class name, xyxy fractions of the photo, its colour if that is clear."""

    label: str
    box: Box
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo with human expressions, labelled instances, or both.

    `known_labels`: every class whose instances are all labelled here, so that the other ones of
    these are known to be absent.
    """

    path: Path
    expressions: tuple[Expression, ...] = ()
    instances: tuple[Instance, ...] = ()
    known_labels: frozenset[str] = frozenset()


def is_described(photo: Photo) -> bool:
    """Whether somebody said what the photo shows; referring expressions tell single things."""
    return bool(photo.expressions) and all(e.kind != REFERRING for e in photo.expressions)


Asked = list[tuple[Photo, list[Expression]]]
"""Photos, and what is asked about each."""


def spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items, evenly spaced; all of them if there are fewer or `count` is 0."""
    if not count or count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line.

    Raises:
        DataError: the file is absent or a line is not a JSON object.
    """
    if not path.is_file():
        raise DataError(f"expected {path}, which does not exist; is --data the right folder?")
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text ({error})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: expected an object, got {type(record).__name__}")
        yield number, record
