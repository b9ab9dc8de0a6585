"""Typing mistakes: single slips are undone, everything else is left as it was typed."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.bundle.spelling import Speller, slips
from sdk.errors import BundleCorruptError
from train.data.wording import mistype

WORDS = ["the", "man", "dog", "woman", "left", "beagle", "door"]
SPELLER = Speller(WORDS, {"zebra", "dot", "[CLS]"})


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("teh dog", "the dog"),
        ("the dgo on the lfet", "the dog on the left"),
        ("a begle", "a beagle"),
        ("a beaggle", "a beagle"),
        ("TEH DOG.", "the DOG."),
        ("doog", "dog"),  # also one slip from "door": the more frequent word is meant
        ("the dot", "the dot"),  # a word of its own, though one slip from "dog"
        ("a zebra", "a zebra"),
        ("dg", "dg"),  # too short to tell
        ("a xylophone", "a xylophone"),
        ("3 dogx2", "3 dog2"),
        ("", ""),
    ],
)
def test_phrases_are_read_as_they_were_meant(typed: str, read: str) -> None:
    assert SPELLER.correct(typed) == read


@given(st.text(max_size=60))
def test_a_corrected_phrase_needs_no_correction(text: str) -> None:
    once = SPELLER.correct(text)
    assert SPELLER.correct(once) == once


@given(st.lists(st.sampled_from([*WORDS, "zebra"]), min_size=1, max_size=8))
def test_well_typed_phrases_stay(words: list[str]) -> None:
    assert SPELLER.correct(" ".join(words)) == " ".join(words)


@given(st.integers(0, 10**6))
def test_the_slips_that_accuracy_is_measured_under_are_among_those_undone(seed: int) -> None:
    typed = mistype("beagle", random.Random(seed))
    assert typed == "beagle" or typed in set(slips("beagle"))
    assert SPELLER.correct(typed) == "beagle"


def test_files_are_read_and_missing_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the\ndog\n", encoding="utf-8")
    (tmp_path / "vocab.txt").write_text("[CLS]\ndig\n##ing\n", encoding="utf-8")
    speller = Speller.from_files(tmp_path / "words.txt", tmp_path / "vocab.txt")
    assert speller.correct("teh dgo, dig ing") == "the dog, dig ing"
    with pytest.raises(BundleCorruptError, match="nowhere"):
        Speller.from_files(tmp_path / "nowhere.txt", tmp_path / "vocab.txt")
