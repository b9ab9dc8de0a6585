"""Other ways to type the same phrase: synonyms, typing mistakes, punctuation.

Training draws from these and `train.robustness` measures under them.
"""

from __future__ import annotations

import random
import re

_SYNONYMS = {
    "man": ("guy", "gentleman"),
    "men": ("guys",),
    "woman": ("lady",),
    "women": ("ladies",),
    "boy": ("young boy",),
    "girl": ("young girl",),
    "child": ("kid",),
    "children": ("kids",),
    "person": ("human",),
    "dog": ("doggy", "puppy", "pup"),
    "dogs": ("puppies",),
    "cat": ("kitty",),
    "bike": ("bicycle",),
    "bicycle": ("bike",),
    "car": ("vehicle",),
    "truck": ("lorry",),
    "motorcycle": ("motorbike",),
    "motorbike": ("motorcycle",),
    "airplane": ("plane",),
    "couch": ("sofa",),
    "sofa": ("couch",),
    "shirt": ("top",),
    "jacket": ("coat",),
    "pants": ("trousers",),
    "hat": ("cap",),
    "cup": ("mug",),
    "picture": ("photo",),
    "street": ("road",),
    "grass": ("lawn",),
    "rock": ("stone",),
    "ocean": ("sea",),
    "biggest": ("largest",),
    "bigger": ("larger",),
    "small": ("little",),
    "little": ("small",),
    "big": ("large",),
    "large": ("big",),
    "young": ("youthful",),
    "older": ("elderly",),
    "gray": ("grey",),
    "grey": ("gray",),
}
_KNOWN = re.compile(rf"(?<!hot )\b({'|'.join(_SYNONYMS)})\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]{3,}")


def paraphrase(text: str, rng: random.Random) -> str:
    """Every word that has a synonym here replaced by one; the text itself if there is none."""
    return _KNOWN.sub(lambda match: rng.choice(_SYNONYMS[match.group(0).lower()]), text)


def mistype(text: str, rng: random.Random) -> str:
    """A slip in one word of three or more letters: two swapped, one dropped or one doubled."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = rng.choice(words)
    at = word.start() + rng.randrange(len(word.group()) - 1)
    slip = rng.choice((text[at + 1] + text[at], text[at + 1], text[at] * 2 + text[at + 1]))
    return text[:at] + slip + text[at + 2 :]


LONG = 150
"""Characters from which on a phrase is left alone: it may be near the tokenizer's limit."""


def vary(text: str, rng: random.Random) -> str:
    """The text as it is most of the time, else paraphrased, mistyped or with a full stop."""
    if len(text) > LONG:
        return text
    if rng.random() < 0.12:
        text = paraphrase(text, rng)
    if rng.random() < 0.08:
        text = mistype(text, rng)
    if rng.random() < 0.04:
        text += rng.choice(".!?,")
    return text
