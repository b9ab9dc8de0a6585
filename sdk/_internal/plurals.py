"""Plurals of English nouns."""

import re

IRREGULAR = {
    **{"person": "people", "man": "men", "woman": "women", "mouse": "mice", "knife": "knives"},
    **{name: name for name in ("sheep", "skis", "scissors", "broccoli")},
}


def plural(noun: str) -> str:
    """The plural of a noun or of one with words before it: "wine glass" -> "wine glasses"."""
    first, _, last = noun.rpartition(" ")
    if last in IRREGULAR:
        many = IRREGULAR[last]
    elif re.search(r"(s|x|ch|sh)$", last):
        many = f"{last}es"
    elif re.search(r"[^aeiou]y$", last):
        many = f"{last[:-1]}ies"
    else:
        many = f"{last}s"
    return f"{first} {many}".strip()
