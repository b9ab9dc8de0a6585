"""Whole referring expressions out of captions: "a boy in blue shorts", not "a boy" alone.

The annotated phrases stand in the captions word for word. A phrase, at most MOST_BETWEEN words
that end in a link, and the next phrase of the sentence are one expression: its box is the first
phrase's, and the second names what it is told by.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from train.data.samples import Expression, read_jsonl

MOST_BETWEEN = 5
"""Most words between two phrases."""
_LINK = re.compile(
    r"\b(in|with|on|near|by|behind|wearing|holding|beside|next to|at|under|above|carrying|riding|"
    r"of|between|against|pulling|pushing|chasing|from|inside|outside|over|across|through)$"
)
"""What the words between two phrases may end in; "in front of" ends in "of"."""
RELATION = "relation"
"""Kind of these expressions."""


class Span(NamedTuple):
    """Words `start` to `end` of a sentence are the phrase of `expression`."""

    start: int
    end: int
    expression: Expression


def read_captions(path: Path) -> dict[str, list[str]]:
    """Photo's file name -> its sentences, words and punctuation apart; empty without a file.

    Raises:
        DataError: a line is not a JSON object.
    """
    if not path.is_file():
        return {}
    return {record["image"]: record["captions"] for _, record in read_jsonl(path)}


def relations(
    sentences: Sequence[str], expressions: Sequence[Expression]
) -> tuple[Expression, ...]:
    """The photo's expressions of phrase, link and phrase, each once."""
    found: dict[str, Expression] = {}
    for sentence in sentences:
        words = sentence.split()
        for first, second in pairwise(spans(words, expressions)):
            between = words[first.end : second.start]
            if joins(between) and first.expression.single and not same_thing(first, second):
                text = " ".join(words[first.start : second.end])
                head = first.expression
                label = "person" if head.kind == "people" else ""
                context = second.expression.boxes
                relation = Expression(text, head.boxes, RELATION, label=label, context=context)
                found.setdefault(text, relation)
    return tuple(found.values())


def spans(words: Sequence[str], expressions: Sequence[Expression]) -> list[Span]:
    """Where the phrases stand in a sentence, from left to right; the longest one wins a word."""
    lower = [word.lower() for word in words]
    starts = defaultdict(list)
    for index, word in enumerate(lower):
        starts[word].append(index)
    taken: list[Span] = []
    for expression in sorted(expressions, key=lambda e: -len(e.text.split())):
        phrase = expression.text.lower().split()
        for start in starts[phrase[0]]:
            end = start + len(phrase)
            free = all(end <= span.start or span.end <= start for span in taken)
            if lower[start:end] == phrase and free:
                taken.append(Span(start, end, expression))
    return sorted(taken)


def joins(between: Sequence[str]) -> bool:
    """Whether the words between two phrases link them."""
    return len(between) <= MOST_BETWEEN and bool(_LINK.search(" ".join(between).lower()))


def same_thing(first: Span, second: Span) -> bool:
    """Whether two phrases name the same thing: they have the same boxes."""
    return set(first.expression.boxes) == set(second.expression.boxes)
