"""Words that a bundle knows: "xyzzy" has no picture, whatever a text encoder makes of its pieces.

Known are the words of the training phrases and the whole words of the text encoder's vocabulary,
their plurals, and compounds of two of them ("teapot").
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from sdk.errors import BundleCorruptError

WORD = re.compile(r"[^\W\d_]+")
SHORTEST_PART = 3
"""Least letters of a part of a compound."""
LINK = re.compile(
    "in|with|on|near|by|behind|wearing|holding|beside|next|at|under|above|below|carrying|riding|of|"
    "between|against|from|inside|outside|over|across|through|that|who|which|is|are|to|and|but|"
    "without|while|looking|sitting|standing|walking|not|no|except|beneath|around|for|using|"
    "touching|along|towards?|past|within|up|down|off|onto|into|upon|among|opposite|covering|facing"
)
"""What a noun phrase ends before."""
_PLURALS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("men", "man"))


class Unknown(NamedTuple):
    """What of a phrase is not known."""

    words: tuple[str, ...]
    """In their order, as they were typed."""
    head: bool
    """Whether the head noun, what is looked for, is among them."""


class KnownWords:
    """A list of words.

    Args:
        words: in lower case.
    """

    def __init__(self, words: Collection[str]) -> None:
        self._words = frozenset(word for word in words if len(word) > 1)

    @classmethod
    def from_files(cls, words: Path, vocab: Path) -> "KnownWords":
        """From a word list, one a line, and a BERT vocabulary.

        Raises:
            BundleCorruptError: a file cannot be read.
        """
        return cls({*read_words(words), *(w for w in read_words(vocab) if WORD.fullmatch(w))})

    def unknown(self, text: str) -> Unknown:
        """The words of `text` that are not known. Single letters count where there is no word."""
        words = WORD.findall(text)
        words = [word for word in words if len(word) > 1] or words
        unknown = tuple(word for word in words if word.lower() not in self)
        return Unknown(unknown, bool(unknown) and head_noun(words) in unknown)

    def __contains__(self, word: str) -> bool:
        """Whether the lower-case word, its singular, or two words that it is made of are known."""
        forms = [
            word,
            *(word.removesuffix(end) + other for end, other in _PLURALS if word.endswith(end)),
        ]
        return any(form in self._words or self._is_compound(form) for form in forms)

    def _is_compound(self, word: str) -> bool:
        cuts = range(SHORTEST_PART, len(word) - SHORTEST_PART + 1)
        return any(word[:cut] in self._words and word[cut:] in self._words for cut in cuts)


def head_noun(words: Collection[str]) -> str:
    """The last word of the noun phrase that a phrase begins with: "dog" of "a big dog on grass"."""
    head = ""
    for word in words:
        if head and LINK.fullmatch(word.lower()):
            break
        head = word
    return head


def read_words(path: Path) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        BundleCorruptError: the file cannot be read.
    """
    try:
        return list(filter(None, path.read_text(encoding="utf-8").split("\n")))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleCorruptError(f"the word list {path} cannot be read: {error}") from error
