"""What may be asked, and how several encoded phrases are put together for one fusion call."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.contract import ATTENTION_MASK, TEXT_TOKENS
from sdk.bundle.known_words import Unknown
from sdk.errors import PhraseError
from sdk.lessons.lesson import Lesson

MAX_CHARACTERS = 1000
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_STATED = re.compile(
    rf"(?:(?:all|the|these|those)\s+)*((?a:{'|'.join(_NUMBERS)}|both|[1-9]|10))\s+(\w+)", re.I
)
_UNIT = re.compile("foot|inch|lane|met(re|er)|piece|seat|story|way|wheel|year")
"""After a number these make one word with it: "the two year old boy" is one."""


class EncodedPhrase(NamedTuple):
    """A phrase as it was asked, the text graph's tokens of it (L, Dt), and what is not known."""

    text: str
    tokens: NDArray[np.float32]
    unknown: Unknown
    number: int | None = None
    """How many things the phrase says that it means, see `stated_number`."""
    lesson: Lesson | None = None
    """Of what it looks for, where that has been taught."""


def stated_number(phrase: str) -> int | None:
    """How many things a phrase says that it means, 1 to 10: 2 for "the two dogs"; None for "dogs".

    Only a number in front is one of things: not in "the second dog" or "a two-story house". Of
    things that are listed ("one man and two dogs") none is read.
    """
    found = _STATED.match(phrase.strip())
    if found is None or _UNIT.fullmatch(found[2].lower()) or re.search(r"\band\b", phrase, re.I):
        return None
    word = found[1].lower()
    if word == "both":
        return 2
    return int(word) if word.isdigit() else _NUMBERS.index(word) + 1


def as_phrases(text: str | Sequence[str]) -> list[str]:
    """One checked phrase, or several, as a list.

    Raises:
        PhraseError: there is none, or one is no string, blank, without a letter or digit, not valid
            Unicode, or longer than MAX_CHARACTERS.
    """
    if isinstance(text, str):
        return [_checked(text, "the phrase")]
    if not isinstance(text, Sequence) or isinstance(text, (bytes, bytearray)):
        raise PhraseError(
            f"expected a string or a list of strings, got {type(text).__name__}; "
            "give a description such as 'the dog on the left'"
        )
    if not text:
        raise PhraseError("expected at least one phrase, got an empty list")
    return [_checked(phrase, f"phrase {index}") for index, phrase in enumerate(text)]


def _checked(phrase: object, role: str) -> str:
    if not isinstance(phrase, str):
        raise PhraseError(f"{role}: expected a string, got {type(phrase).__name__}")
    if len(phrase) > MAX_CHARACTERS:
        raise PhraseError(
            f"{role}: expected at most {MAX_CHARACTERS} characters, got {len(phrase)}; "
            "describe one object in fewer words"
        )
    if any("\ud800" <= character <= "\udfff" for character in phrase):
        raise PhraseError(
            f"{role}: expected Unicode text, got {phrase[:40]!a}, which has half a character "
            "(a lone surrogate); decode its bytes as UTF-8"
        )
    if not any(character.isalnum() for character in phrase):
        raise PhraseError(
            f"{role}: expected words that describe an object, got {phrase[:40]!r}, which has no "
            "letter or digit"
        )
    return phrase


def fusion_inputs(tokens: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Text tokens (L_p, Dt) of P phrases -> what fusion takes beside a frame's, by name.

    Returns:
        Text tokens (P, L, Dt) float32, and their mask (P, L) int64, 0 = padding.
    """
    longest = max(map(len, tokens))
    text = np.zeros((len(tokens), longest, tokens[0].shape[1]), np.float32)
    mask = np.zeros((len(tokens), longest), np.int64)
    for row, phrase in enumerate(tokens):
        text[row, : len(phrase)] = phrase
        mask[row, : len(phrase)] = 1
    return {TEXT_TOKENS: text, ATTENTION_MASK: mask}
