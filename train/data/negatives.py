"""Phrases that name what is not in a photo, borrowed from other photos.

Captions do not list everything, so a borrowed phrase may be true by chance. Only kinds that a
caption rarely leaves out are borrowed, never one that shares a word with what was said, and never a
person where there are people. Referring expressions (RefCOCO's kind) describe one thing and not the
picture, so they are neither lent nor is anything made up beside them but what labels prove.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from train.data.expressions import absent_expression, untrue_expression
from train.data.samples import Expression, Photo, is_described
from train.data.swaps import swapped_expressions

BORROWED_KINDS = frozenset({"animals", "vehicles", "instruments", "other", "clothing", "people"})
TRIES = 5
_STOP_WORD = re.compile(
    "an?|the|of|in|on|with|and|or|at|to|his|her|their|its|some|one|two|three|an?other"
)


def content_words(text: str) -> frozenset[str]:
    """Lower-case words that carry meaning, plural s removed."""
    words = re.findall(r"[a-z]+", text.lower())
    return frozenset(w.removesuffix("s") for w in words if not _STOP_WORD.fullmatch(w))


class ForeignPhrases:
    """A pool of expressions to borrow from."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._pool = sorted(
            {
                (e.text, content_words(e.text), e.kind)
                for photo in photos
                for e in photo.expressions
                if e.kind in BORROWED_KINDS and content_words(e.text)
            },
            key=lambda item: item[0],
        )

    def draw(self, photo: Photo, rng: random.Random) -> Expression | None:
        """An expression absent from `photo`, or None after TRIES unlucky draws.

        A photo that nobody described gets none.
        """
        if not is_described(photo):
            return None
        said = frozenset().union(*(content_words(e.text) for e in photo.expressions))
        people = any(e.kind == "people" for e in photo.expressions)
        for _ in range(TRIES if self._pool else 0):
            text, words, kind = rng.choice(self._pool)
            if not words & said and not (people and kind == "people"):
                return Expression(text, (), "absent")
        return None


def absent_phrases(
    photo: Photo,
    foreign: ForeignPhrases,
    rng: random.Random,
    asked: Sequence[Expression] = (),
) -> list[Expression]:
    """What is not in the photo: as its data says, else up to five phrases that are made.

    The hardest to tell come last: up to two with a word swapped, a false colour behind the other.
    """
    said = [e for e in photo.expressions if not e.boxes]
    made = (
        absent_expression(photo, rng),
        foreign.draw(photo, rng),
        untrue_expression(photo, rng),
        *reversed(swapped_expressions(photo, rng, asked)),
    )
    return said or [expression for expression in made if expression]
