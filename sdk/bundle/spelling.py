"""Typing mistakes: "teh dog" is read as "the dog".

A frozen text encoder takes an unknown word apart into pieces that mean something else, so a slip of
one key costs more than a blurred picture. One slip away (a letter dropped, added, replaced, or two
swapped; Damerau 1964) from a common word of the bundle's own list, an unknown word is read as it.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sdk.bundle.known_words import WORD, read_words

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST = 3
"""Shorter words are left alone: one slip away from them is half the dictionary."""


class Speller:
    """Corrects single slips in words that nobody uses.

    Args:
        words: what people say about pictures, most frequent first.
        known: other words that are right as they are, as the whole words of the text encoder's
            vocabulary.
    """

    def __init__(self, words: Sequence[str], known: Collection[str]) -> None:
        self._rank = {word: rank for rank, word in reversed(list(enumerate(words)))}
        self._known = frozenset(known)

    @classmethod
    def from_files(cls, words: Path, vocab: Path) -> "Speller":
        """From a word list, one a line, and a BERT vocabulary.

        Raises:
            BundleCorruptError: a file cannot be read.
        """
        pieces = [piece for piece in read_words(vocab) if not piece.startswith("##")]
        return cls(read_words(words), pieces)

    def correct(self, text: str) -> str:
        """The text with every slip undone; letters' case is lost in corrected words."""
        return WORD.sub(lambda match: self._word(match.group()), text)

    def _word(self, typed: str) -> str:
        word = typed.lower()
        if len(word) < SHORTEST or word in self._rank or word in self._known:
            return typed
        meant = (slip for slip in slips(word) if slip in self._rank)
        return min(meant, key=self._rank.__getitem__, default=typed)


def slips(word: str) -> Iterator[str]:
    """Everything one slip away from `word`."""
    for at in range(len(word) + 1):
        left, right = word[:at], word[at:]
        if right:
            yield left + right[1:]
            yield from (left + letter + right[1:] for letter in _LETTERS)
        if len(right) > 1:
            yield left + right[1] + right[0] + right[2:]
        yield from (left + letter + right for letter in _LETTERS)
