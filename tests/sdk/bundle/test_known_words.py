"""Which words a bundle knows, and what comes of asking for others."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import Grounder
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.known_words import KnownWords, Unknown, head_noun
from sdk.errors import BundleCorruptError
from train.data.coco import COCO_CLASSES
from train.data.nouns import SYNONYMS

KNOWN = KnownWords(
    ["the", "dog", "red", "left", "tea", "pot", "screw", "driver", "knife", "city", "man", "on"]
)


@pytest.mark.parametrize(
    ("text", "words", "head"),
    [
        ("the red dog", (), False),
        ("The Dogs", (), False),
        ("the knives", (), False),
        ("two cities", ("two",), False),
        ("the firemen", ("firemen",), True),
        ("the teapot on the left", (), False),
        ("screwdrivers", (), False),
        ("the blorpy dog", ("blorpy",), False),
        ("xyzzy", ("xyzzy",), True),
        ("el perro", ("el", "perro"), True),
        ("the dog on the blorp", ("blorp",), False),
        ("the blorp on the dog", ("blorp",), True),
        ("b", ("b",), True),
        ("dog b", (), False),
        ("23", (), False),
    ],
)
def test_unknown_words(text: str, words: tuple[str, ...], head: bool) -> None:
    assert KNOWN.unknown(text) == Unknown(words, head)


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("a big dog", "dog"),
        ("the cup to the left of the laptop", "cup"),
        ("man riding a horse", "man"),
        ("the cup beneath the shelf", "cup"),
        ("people in the background", "people"),
        ("on", "on"),
        ("", ""),
    ],
)
def test_the_head_noun_ends_the_first_noun_phrase(text: str, head: str) -> None:
    assert head_noun(text.split()) == head


def test_the_default_bundle_knows_every_class_and_synonym() -> None:
    words = KnownWords.from_files(DEFAULT_BUNDLE / "words.txt", DEFAULT_BUNDLE / "vocab.txt")
    names = {*COCO_CLASSES, *(noun for nouns in SYNONYMS.values() for noun in nouns)}
    assert [name for name in names if words.unknown(f"the {name}").words] == []
    for nonsense in ("xyzzy", "el perro", "b", "the blorp", "asdf", "der kasten"):
        assert words.unknown(nonsense).head, nonsense


def test_nothing_is_found_for_a_noun_that_is_not_known(
    frame: NDArray[np.uint8],
) -> None:
    grounder = Grounder.load(device="cpu", threads=1)
    known, nonsense, modifier = grounder.ground(frame, ["the cat", "the zzyx", "the zzyx cat"])
    assert known.unknown_words == ()
    assert nonsense.unknown_words == ("zzyx",)
    assert (nonsense.found, nonsense.score, nonsense.instances) == (False, 0.0, ())
    assert modifier.unknown_words == ("zzyx",) and modifier.score > 0


def test_a_word_list_that_cannot_be_read(tmp_path: Path) -> None:
    vocab, words = tmp_path / "vocab.txt", tmp_path / "words.txt"
    shutil.copy(DEFAULT_BUNDLE / "vocab.txt", vocab)
    words.write_bytes(b"\xff\xfe")
    with pytest.raises(BundleCorruptError, match=re.escape(str(words))):
        KnownWords.from_files(words, vocab)
