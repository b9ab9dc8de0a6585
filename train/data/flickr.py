"""Flickr30k Entities (Plummer et al., arXiv:1505.04870) in the files its authors publish.

Sentences/<photo>.txt      five captions: "[/EN#283585/people A young child] is wearing ..."
Annotations/<photo>.xml    boxes in pixels, each of one or more of these numbers
train.txt, val.txt, test.txt   the photos of each split
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from train.data.formats import Line, around
from train.data.own import OTHER
from train.data.samples import Box, DataError

PHRASE = re.compile(r"\[/EN#(\d+)/(\S+) ([^\]]+)\]")
"""Number of the thing, its types, the words."""
NOT_VISUAL = "notvisual"


def from_flickr(folder: Path, split: str) -> Iterator[Line]:
    """The phrases of one split that have boxes; a phrase of several boxes gets the one around them.

    Raises:
        DataError: no such split, or a file that is not as published.
    """
    names = folder / f"{split}.txt"
    if not names.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.txt") if p.stem != "README"))
        raise DataError(f"--split: expected one of {known or 'train, val, test'}, got {split!r}")
    for photo in names.read_text(encoding="utf-8").split():
        yield from phrases_of(folder, photo)


def phrases_of(folder: Path, photo: str) -> Iterator[Line]:
    """The phrases of one photo, each once."""
    boxes = boxes_of(folder / "Annotations" / f"{photo}.xml")
    captions = (folder / "Sentences" / f"{photo}.txt").read_text(encoding="utf-8")
    seen = set()
    for number, types, phrase in PHRASE.findall(captions):
        kind = types.split("/")[0]
        if number in boxes and kind != NOT_VISUAL and (number, phrase) not in seen:
            seen.add((number, phrase))
            yield Line(f"{photo}.jpg", phrase, around(boxes[number]), kind or OTHER)


def boxes_of(path: Path) -> dict[str, list[Box]]:
    """Number -> its boxes, xyxy in pixels; what is a whole scene or in no box is left out.

    Raises:
        DataError: not such a file.
    """
    found: dict[str, list[Box]] = defaultdict(list)
    try:
        for thing in ElementTree.parse(path).getroot().iter("object"):
            box = thing.find("bndbox")
            if box is None:
                continue
            edges = (float(box.findtext(edge) or "") for edge in ("xmin", "ymin", "xmax", "ymax"))
            x1, y1, x2, y2 = edges
            for name in thing.iter("name"):
                found[(name.text or "").strip()].append((x1, y1, x2, y2))
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path}: expected annotations of Flickr30k Entities: {error}") from error
    return found
