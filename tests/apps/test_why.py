"""Why a phrase is not found, in words: its score, its place, its spelling."""

from pathlib import Path

import pytest

from apps.webcam.why import Wording, place, reasons
from sdk import Grounding
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.manifest import Manifest
from sdk.bundle.spelling import Speller
from sdk.streaming.tracking import Tracking


@pytest.mark.parametrize(
    ("box", "where"),
    [
        *(((0, 0, 10, 10), "upper left"), ((40, 30, 60, 60), "middle"), ((0, 0, 99, 99), "middle")),
        *(
            ((90, 40, 99, 50), "right"),
            ((40, 90, 60, 99), "bottom"),
            ((-5, 0, -2, 9), "upper left"),
        ),
    ],
)
def test_places(box: tuple[float, float, float, float], where: str) -> None:
    assert place(box, (100, 100)) == where


def test_why_a_phrase_is_not_found() -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    missing = Grounding("a dog", box, 0.3, False)
    assert reasons(missing, (100, 100), 0.36, None) == [
        "score 0.30 of 0.36 needed",
        "best guess: upper left",
    ]
    appear, _ = Tracking().thresholds(0.36)
    close = Grounding("a dog", box, 0.37, False)  # above the threshold, below its hysteresis
    assert f"0.37 of {appear:.2f} needed" in reasons(close, (100, 100), 0.36, Tracking())[0]
    gone = Grounding("a dog", box, 0.9, False)
    assert reasons(gone, (100, 100), 0.36, Tracking()) == ["left the picture, last score 0.90"]
    assert reasons(Grounding("a dog", box, 0.9, True), (100, 100), 0.36, None) == []


def test_what_the_word_list_says() -> None:
    words = ["the", "dog", "lamp", "boxes", "keyboard"]
    known = {"lamps", "box", "giraffe", "keyboardy"}
    wording = Wording(words, Speller(words, known))
    assert wording.notes("the dog") == wording.notes("x") == []  # too short to tell
    assert wording.notes("teh Dog") == ['read as "the Dog"']
    assert wording.notes("a giraffe") == ['"giraffe" is not in the model\'s word list']
    for typed, listed in (("lamps", "lamp"), ("box", "boxes"), ("keyboardy", "keyboard")):
        assert wording.notes(typed) == [f'"{typed}" is not in the model\'s word list, try {listed}']
    assert len(wording.notes("teh giraffe, the giraffe, lamps")) == 3


def test_the_word_list_of_the_default_bundle() -> None:
    wording = Wording.load(DEFAULT_BUNDLE, Manifest.load(DEFAULT_BUNDLE).tokenizer)
    assert wording is not None
    assert wording.notes("the dog on the left") == []
    assert wording.notes("teh dog") == ['read as "the dog"']


def test_a_bundle_without_a_word_list(tiny_bundle: Path) -> None:
    assert Wording.load(tiny_bundle, Manifest.load(tiny_bundle).tokenizer) is None
