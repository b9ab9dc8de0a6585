"""Question lists that never change, whatever becomes of the generators that once made them.

Those of this repository are `questions/*.jsonl`, one question a line:

    {"id", "image", "source", "kind", "phrase", "boxes", "label", "num_instances"}
    {"id", "image", "caption": [photo, index, sha256], "swap": [start, end, word]}

`image` is relative to the data folder, `source` is that of `detection/boxes.jsonl`. A phrase that
people wrote for Flickr30k Entities may not be copied: `caption` says where it stands in val.jsonl.
Of the photo itself it is asked with its kind and its boxes. It names nothing in another photo, nor
with a `swap`: a word in the place of some of its characters. `everyday.jsonl` and
`relations_val.jsonl` are in `yardsticks/` of the data folder.
`questions/sha256.json` holds the hash of every list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sdk._internal.plurals import plural
from train.data.expressions import NUMBERS
from train.data.readers import YARDSTICK_SOURCE, caption_phrase, read_box
from train.data.samples import Asked, Box, DataError, Expression, Photo, read_jsonl

QUESTIONS = Path(__file__).parent / "questions"
CAPTIONS, CONTRASTIVE, ABSENT, NAMED = "captions", "contrastive", "absent", "named"
COUNTS, NEGATION, SWAPS = "counts", "negation", "swaps"
"""The lists of the repository: phrases of the validation captions; expressions that single out one
of several on held-back labelled photos; what is in neither kind of photo; class names, "the dog",
of which a held-back labelled photo shows one; "two dogs" and "one cat", "the cow that is not on the
left" of such photos; phrases of the captions, each also with a word swapped for one that nothing
supports, and that no training swaps in."""
EVERYDAY, RELATIONS = "everyday.jsonl", "relations_val.jsonl"
APART, NEAR = "apart", "near"
"""Kinds of a relation: the IoU of its two nouns' boxes is below 0.3, or not."""


def frozen_questions(root: Path, name: str, *, yardstick_photos: bool = True) -> Asked:
    """A list of the repository, photo by photo; `photo.expressions` are what is asked about it.

    Args:
        root: the data folder with the photos.
        name: of the list, without suffix.
        yardstick_photos: with photos of YARDSTICK_SOURCE. Nothing may be fitted to these.

    Raises:
        DataError: a caption that the list refers to is not in the data folder, or is another.
    """
    captions: Captions | None = None
    found: list[tuple[Path, Expression]] = []
    for _, record in read_jsonl(QUESTIONS / f"{name}.jsonl"):
        if not yardstick_photos and record.get("source") == YARDSTICK_SOURCE:
            continue
        image = root / record["image"]
        if "caption" in record:
            captions = captions or Captions(root)
            phrase = captions.ask(image, *record["caption"])
            found.append((image, swapped(phrase, *record["swap"]) if "swap" in record else phrase))
        else:
            boxes = tuple(tuple(box) for box in record["boxes"])
            counted = record.get("num_instances", 0), record.get("label", "")
            found.append((image, Expression(record["phrase"], boxes, record["kind"], *counted)))
    return by_photo(found)


def by_photo(questions: list[tuple[Path, Expression]]) -> Asked:
    """Questions about one photo together, photos in the order of their first question."""
    groups: dict[Path, list[Expression]] = {}
    for image, expression in questions:
        groups.setdefault(image, []).append(expression)
    return [(Photo(image, tuple(group)), group) for image, group in groups.items()]


def miscounted(counts: Asked) -> Asked:
    """The questions of COUNTS with a number that is one too high: "two dogs" where there is one."""
    return [
        (photo, [replace(e, text=f"{NUMBERS[len(e.boxes) - 1]} {plural(e.label)}") for e in asked])
        for photo, asked in counts
    ]


class Captions:
    """The caption phrases of the validation photos, by photo and index."""

    def __init__(self, root: Path) -> None:
        self._path = root / "flickr30k_entities" / "val.jsonl"
        self._phrases = {r["image"]: r["phrases"] for _, r in read_jsonl(self._path)}

    def ask(self, image: Path, photo: str, index: int, check: str) -> Expression:
        """Phrase `index` of `photo`, asked about `image`: without boxes if that is another photo.

        Raises:
            DataError: no such phrase, or not the one whose fingerprint is `check`.
        """
        where = f"{self._path}, phrase {index} of {photo}"
        phrases = self._phrases.get(photo, [])
        if index >= len(phrases) or fingerprint(phrases[index]) != check:
            raise DataError(f"{where}: expected the phrase with the fingerprint {check}")
        phrase = caption_phrase(phrases[index], where)
        return phrase if photo == image.name else Expression(phrase.text, (), "absent")


def swapped(phrase: Expression, start: int, end: int, word: str) -> Expression:
    """The phrase with other characters from `start` to `end`, which makes it name nothing."""
    return Expression(phrase.text[:start] + word + phrase.text[end:], (), "swap")


def fingerprint(phrase: dict[str, Any]) -> str:
    """The first 16 digits of the SHA-256 of a record's phrase: its words, types and boxes."""
    content = json.dumps([phrase["phrase"], phrase["types"], phrase["boxes"]])
    return sha256(content.encode()).hexdigest()[:16]


def everyday_questions(root: Path) -> Asked:
    """Things of COCO's classes on photos of YARDSTICK_SOURCE; empty where `root` has no such list.

    Kinds: unique (the only one of its class), left_right and size (one of two), many (all of two to
    six: several boxes), absent (no box).
    """
    return by_photo(
        [
            (root / "detection" / "images" / record["image"], _with_boxes(record, where))
            for where, record in _records(root, EVERYDAY)
        ]
    )


def relation_questions(root: Path, box: str = "box") -> Asked:
    """Phrases of the validation captions with a second noun; empty where `root` has no such list.

    The box is that of the head noun, or with `box` "other_noun" the one around the second noun's
    boxes, which is the wrong answer. Kinds: APART, NEAR.
    """
    found = []
    for where, record in _records(root, RELATIONS):
        boxes: tuple[Box, ...] = (read_box(record[box], where),)
        kind = APART if record["apart"] else NEAR
        image = root / "flickr30k_entities" / "images" / record["image"]
        found.append((image, Expression(record["phrase"], boxes, kind)))
    return by_photo(found)


def _with_boxes(record: dict[str, Any], where: str) -> Expression:
    boxes = tuple(read_box(box, where) for box in record["boxes"])
    return Expression(record["phrase"], boxes, record["kind"])


def _records(root: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    path = root / "yardsticks" / name
    for number, record in read_jsonl(path) if path.is_file() else ():
        yield f"{path}:{number}", record
