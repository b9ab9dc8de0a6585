"""Why a phrase is not found, in a few words of which each can be checked."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from sdk.bundle.known_words import WORD, read_words
from sdk.bundle.spelling import SHORTEST, Speller
from sdk.bundle.tokenizer import TokenizerSpec
from sdk.results import Box, Grounding
from sdk.streaming.tracking import Tracking

ALIKE = 0.85
"""Similarity (difflib's ratio) of words that are named instead of one that is not known."""
_PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)


class Wording:
    """What a bundle's word list, most frequent first, says about a phrase."""

    def __init__(self, words: Sequence[str], speller: Speller) -> None:
        self._words, self._known, self._speller = list(words), frozenset(words), speller
        self.notes = lru_cache(256)(self._notes)
        """Of a phrase: how it is read, if otherwise, and words that are not in the list."""

    @classmethod
    def load(cls, folder: Path, spec: TokenizerSpec) -> "Wording | None":
        """None for a bundle without a word list. Raises BundleCorruptError."""
        if not spec.words_file:
            return None
        speller = Speller.from_files(folder / spec.words_file, folder / spec.vocab_file)
        return cls(read_words(folder / spec.words_file), speller)

    def _notes(self, phrase: str) -> list[str]:
        read = self._speller.correct(phrase)
        notes = [] if read == phrase else [f'read as "{read}"']
        for word in dict.fromkeys(WORD.findall(read.lower())):
            if len(word) >= SHORTEST and word not in self._known:
                alike = self._alike(word)
                instead = f", try {alike}" if alike else ""
                notes.append(f'"{word}" is not in the model\'s word list{instead}')
        return notes

    def _alike(self, word: str) -> str | None:
        """Singular or plural, else what is spelt almost alike; None where there is nothing."""
        forms = (word + "s", word + "es", word.removesuffix("s"), word.removesuffix("es"))
        listed = [form for form in forms if form in self._known]
        return next(iter(listed or get_close_matches(word, self._words, 1, ALIKE)), None)


def reasons(
    result: Grounding, size_wh: Sequence[int], threshold: float, tracking: Tracking | None
) -> list[str]:
    """Why `result` is not found in a frame of this size; none for one that is.

    `threshold`: the bundle's. `tracking`: how the result was tracked, None for one that was not.
    """
    if result.found:
        return []
    if result.unknown_words and not result.score:
        return [f"unknown: {', '.join(result.unknown_words)}"]
    needed = tracking.thresholds(threshold)[0] if tracking else threshold
    if result.score >= needed:
        return [f"left the picture, last score {result.score:.2f}"]
    return [
        f"score {result.score:.2f} of {needed:.2f} needed",
        f"best guess: {place(result.box, size_wh)}",
    ]


def place(box: Box, size_wh: Sequence[int]) -> str:
    """Where the middle of a box is in a frame, as "lower left"."""
    left, top, right, bottom = box
    column, row = _third((left + right) / 2, size_wh[0]), _third((top + bottom) / 2, size_wh[1])
    return _PLACES[row][column]


def _third(position: float, length: float) -> int:
    return min(2, max(0, int(3 * position / length)))
