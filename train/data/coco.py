"""COCO's 80 classes, and which of them an expression asks for."""

from __future__ import annotations

import re

from sdk._internal.plurals import plural
from train.data.nouns import SYNONYMS
from train.data.samples import Expression

COCO_CLASSES = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,
stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,
umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,
skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,
sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,
toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,
clock,vase,scissors,teddy bear,hair drier,toothbrush""".replace("\n", "").split(",")
)
"""In the order of COCO's own detectors."""
NONE, UNKNOWN = -1, -2
"""What a phrase names where it is no class, and where nobody said."""
_NO_CLASS = frozenset({"clothing", "bodyparts", "scene", "instruments"})
_KINDS = _NO_CLASS | {"animals", "vehicles", "other"}
"""Kinds of a caption's phrases; the first are of no class, if no word of theirs is."""
_PEOPLE = frozenset({"man", "woman", "boy", "girl"})
_NUMBER = {name: number for number, name in enumerate(COCO_CLASSES)}

_WORDS = _NUMBER | {
    word: _NUMBER[name] for name, words in SYNONYMS.items() if name in _NUMBER for word in words
}
_WORDS |= {plural(word): number for word, number in _WORDS.items()}
_NAMED = re.compile(rf"\b({'|'.join(sorted(_WORDS, key=len, reverse=True))})\b")


def class_named(text: str) -> int:
    """Index of the class whose name or synonym is the first in the text.

    Raises:
        ValueError: there is none.
    """
    named = _NAMED.search(text.lower())
    if named is None:
        raise ValueError(f"expected a phrase that names a class of COCO, got {text!r}")
    return _WORDS[named.group()]


def class_of(expression: Expression) -> int:
    """Index of the class that the expression names one of, NONE, or UNKNOWN.

    Of a label, or of the word that a caption's phrase ends in: "a black dog", not "a dog house".
    """
    if expression.kind == "people" or expression.label in _PEOPLE:
        return _NUMBER["person"]
    if expression.label:
        return _WORDS.get(expression.label, NONE)
    words = list(_NAMED.finditer(expression.text.lower()))
    if words:
        ends = words[-1].end() == len(expression.text) and expression.kind in _KINDS
        return _WORDS[words[-1].group()] if ends else UNKNOWN
    return NONE if expression.kind in _NO_CLASS else UNKNOWN
