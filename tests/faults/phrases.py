"""Phrases of any characters, and what becomes of them on the way out."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unicodedata import category

import numpy as np

from sdk import Grounder, draw
from sdk.application import table
from tests.faults.case import Case, check_grounding, expect
from tests.tiny_bundle import write_tiny_bundle

ALPHABETS = (
    "abc dog cat",
    "\0\x07\x08\x1b[31m\r\n\t\x7f\x9b",
    "\ud800\udcff\udfff",
    "\u200b\u200e\u202e\u2028\u2029\ufeff",
    "äéñçßøæ\u0301\u0308",
    "猫犬кошкаقط",
    "😀🏽‍👩\ufe0f",
    "0123456789,.-'\"\\/<>&;%$",
)
OTHERS = (
    None,
    3,
    b"dog",
    1.5,
    [],
    [""],
    [None],
    ["dog", 3],
    {"a": 1},
    {"dog"},
    ("a dog",),
    object(),
)


def phrases(rng: Random, folder: Path) -> Iterator[Case]:
    """Strings and what is none."""
    grounder = Grounder.load(write_tiny_bundle(folder / "bundle"))
    frame = np.zeros((40, 60, 3), np.uint8)
    view = grounder.encode(frame)
    while True:
        phrase = rng.choice(OTHERS) if rng.random() < 0.1 else text(rng)

        def run(phrase: object = phrase) -> None:
            found = view.ground(phrase)  # type: ignore[call-overload]
            for result in found if isinstance(found, list) else [found]:
                check_grounding(result, 60, 40)
                again = json.loads(json.dumps(result.to_dict()).encode("utf-8"))
                expect(again["text"] == result.text, "changed on the way through JSON")
                lines = table([result]).split("\n")
                expect(len(lines) == max(1, len(result.instances)), "a line break is shown")
                controls = {c for line in lines for c in line if category(c) in ("Cc", "Cs")}
                expect(not controls, f"{controls} reach the terminal")
                draw(frame, result)

        yield Case(f"phrase {ascii(phrase)[:60]}", run)


def text(rng: Random) -> str:
    """Up to 1,100 characters of one or two alphabets."""
    letters = "".join(rng.sample(ALPHABETS, rng.randint(1, 2)))
    count = rng.choice([0, 1, 2, 5, 20, 200, 1000, 1001, 1100])
    return "".join(rng.choice(letters) for _ in range(count))
