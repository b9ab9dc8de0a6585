"""The phrases of ordinary use: their file, and how answers to them are counted."""

import hashlib
import json

import pytest

from benchmarks.asked import (
    ABSENT_FOUND,
    ASKINGS,
    KINDS,
    LOST,
    REFUSED,
    RIGHT,
    TOLD_ABSENT,
    WRONG,
    Answer,
    Asking,
    load,
    report,
    tally,
)
from benchmarks.askings_page import caption
from benchmarks.record import ROOT
from sdk import Grounding
from sdk.inputs.frames import as_bgr
from sdk.results import Box

CUP, OTHER_CUP, ELSEWHERE = (0.0, 0.0, 10.0, 10.0), (30.0, 0.0, 40.0, 10.0), (70.0, 70.0, 80, 80)
AROUND = (0.0, 0.0, 40.0, 10.0)


def answer(box: Box, found: bool = True, true: tuple[Box, ...] = (CUP,)) -> Answer:
    kind = ("absent", "unique", "several")[len(true)]
    return Answer(Asking("a-1", "cups", true, kind), Grounding("cups", box, 0.5, found))


def test_there_are_sixty_phrases_on_twenty_pictures() -> None:
    pictures = load()
    asked = [asking for picture in pictures for asking in picture.asked]
    assert (len(pictures), len(asked)) == (20, 60)
    assert len({picture.image for picture in pictures}) == 20
    assert len({asking.id for asking in asked}) == 60
    assert sum(asking.kind == "absent" for asking in asked) == 15
    assert {asking.kind for asking in asked} == {*KINDS, "absent"}


@pytest.mark.parametrize("picture", load(), ids=lambda picture: picture.image)
def test_a_picture_is_the_one_that_was_boxed(picture) -> None:
    path = ROOT / picture.image
    assert hashlib.sha256(path.read_bytes()).hexdigest() == picture.sha256
    assert picture.credit
    assert path.name in (path.parent / "CREDITS.md").read_text(encoding="utf-8")
    height, width = as_bgr(path).shape[:2]
    for asking in picture.asked:
        assert asking.phrase and asking.phrase == asking.phrase.strip()
        assert (asking.kind == "absent") == (not asking.boxes)
        assert (asking.kind == "several") == (len(asking.boxes) > 1)
        for left, top, right, bottom in asking.boxes:
            assert 0 <= left < right <= width and 0 <= top < bottom <= height


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (answer(CUP), RIGHT),
        (answer((0.0, 0.0, 10.0, 5.0)), RIGHT),
        (answer((0.0, 0.0, 10.0, 4.9)), WRONG),
        (answer(CUP, found=False), REFUSED),
        (answer(ELSEWHERE, found=False), REFUSED),
        (answer(CUP, true=()), ABSENT_FOUND),
        (answer(CUP, found=False, true=()), TOLD_ABSENT),
        (answer(OTHER_CUP, true=(CUP, OTHER_CUP)), RIGHT),
        (answer(AROUND, true=(CUP, OTHER_CUP)), RIGHT),
        (answer(AROUND), WRONG),
        (answer(ELSEWHERE, true=(CUP, OTHER_CUP)), WRONG),
    ],
)
def test_what_becomes_of_an_answer(given: Answer, outcome: str) -> None:
    assert given.outcome == outcome


def test_the_counts_say_how_many_right_boxes_were_refused() -> None:
    given = [
        answer(CUP),
        answer(ELSEWHERE),
        answer(CUP, found=False),
        answer(ELSEWHERE, found=False),
        answer(OTHER_CUP, true=(CUP, OTHER_CUP)),
        answer(CUP, true=()),
    ]
    counts = tally(given)
    assert (counts["present"], counts["absent"]) == (5, 1)
    assert [counts[name] for name in (RIGHT, WRONG, REFUSED, LOST)] == [2, 1, 2, 1]
    assert [counts[name] for name in (TOLD_ABSENT, ABSENT_FOUND)] == [0, 1]
    assert counts["kinds"]["several"] == {RIGHT: 1, WRONG: 0, REFUSED: 0}
    lines = report(counts).splitlines()
    assert "| present: right | 2 of 5 | 40 |" in lines
    assert "| absent: absent found | 1 of 1 | 100 |" in lines
    assert "| unique | 1 | 1 | 2 |" in lines


def test_a_caption_says_the_overlap_only_where_there_is_something() -> None:
    assert caption(answer(CUP)) == "- “cups”: **right** (score 0.50, overlap 1.00)"
    assert caption(answer(CUP, true=())) == "- “cups”: **wrong: it is not there** (score 0.50)"


def test_the_committed_answers_are_to_these_phrases() -> None:
    results = json.loads((ROOT / "benchmarks/results/askings.json").read_text(encoding="utf-8"))
    asked = json.loads(ASKINGS.read_text(encoding="utf-8"))["pictures"]
    expected = [(a["id"], a["phrase"]) for picture in asked for a in picture["asked"]]
    assert [(a["id"], a["phrase"]) for a in results["answers"]] == expected
