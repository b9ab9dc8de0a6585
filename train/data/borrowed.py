"""Phrases that somebody wrote about another photo: what only a teacher can answer.

Labelled photos have boxes and no words but templates, captioned ones the words of five people. A
borrowed phrase, most often about the same kind of thing, has no known box, and keeps people's own
words in use on photos that nobody can have learned by heart.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from train.data.negatives import content_words
from train.data.samples import Expression, Photo

ABOUT = 0.7
"""Probability of a phrase about something that the photo is known to show."""


class BorrowedPhrases:
    """The caption phrases of `photos`, by the words in them."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        said = sorted({(e.text, e.kind) for photo in photos for e in photo.expressions})
        self._all = [text for text, _ in said]
        self._with_word: dict[str, list[str]] = defaultdict(list)
        for text, kind in said:
            for word in content_words(text) | ({"person"} if kind == "people" else frozenset()):
                self._with_word[word].append(text)

    def draw(self, photo: Photo, rng: random.Random) -> Expression | None:
        """A phrase that nobody said of this photo, without a box, or None where none was found."""
        if not self._all:
            return None
        said = {expression.text for expression in photo.expressions}
        about = self._with_word.get(subject(photo, rng), []) if rng.random() < ABOUT else []
        text = rng.choice([t for t in about if t not in said] or self._all)
        return None if text in said else Expression(text, (), BORROWED)


def subject(photo: Photo, rng: random.Random) -> str:
    """A noun of something that the photo shows; empty where nothing is known."""
    if photo.expressions:
        expression = rng.choice(photo.expressions)
        text = "person" if expression.kind == "people" else expression.text.lower()
    else:
        text = rng.choice(sorted({i.label for i in photo.instances}) or [""])
    return rng.choice(sorted(content_words(text.split()[-1])) or [""]) if text.split() else ""


BORROWED = "borrowed"
"""Kind of an expression without an answer: neither a box nor "not there"."""
