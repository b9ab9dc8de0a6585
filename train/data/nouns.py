"""Words for classes: synonyms and plurals."""

from __future__ import annotations

import random
import re

IRREGULAR = {
    **{"person": "people", "man": "men", "woman": "women", "mouse": "mice", "knife": "knives"},
    **{name: name for name in ("sheep", "skis", "scissors", "broccoli")},
}

SYNONYMS = {
    "tv": ("tv", "television", "screen"),
    "couch": ("couch", "sofa"),
    "sofa": ("sofa", "couch"),
    "motorcycle": ("motorcycle", "motorbike"),
    "motorbike": ("motorbike", "motorcycle"),
    "airplane": ("airplane", "plane"),
    "aeroplane": ("airplane", "plane"),
    "bicycle": ("bicycle", "bike"),
    "cell phone": ("cell phone", "phone", "smartphone", "cellphone"),
    "cup": ("cup", "mug"),
    "dog": ("dog", "doggy"),
    "sports ball": ("ball", "sports ball"),
    "tennis racket": ("tennis racket", "racket"),
    "baseball bat": ("baseball bat", "bat"),
    "refrigerator": ("refrigerator", "fridge"),
    "remote": ("remote", "remote control"),
    "donut": ("donut", "doughnut"),
    "handbag": ("handbag", "purse"),
    "backpack": ("backpack", "rucksack"),
    "hair drier": ("hair dryer", "hair drier"),
    "potted plant": ("potted plant", "plant"),
    "diningtable": ("dining table", "table"),
    "dining table": ("dining table", "table"),
    "pottedplant": ("potted plant", "plant"),
    "tvmonitor": ("tv", "monitor", "screen"),
}


def last_word(phrase: str) -> str:
    """The noun of a noun phrase: "a red helmet" -> "helmet"."""
    return phrase.lower().rpartition(" ")[2]


def noun_for(label: str, rng: random.Random) -> str:
    """A word for the class: its own name most of the time, else a synonym."""
    options = SYNONYMS.get(label, (label,))
    return options[0] if rng.random() < 0.6 else rng.choice(options)


def plural(noun: str) -> str:
    """The plural of a class name or of a synonym."""
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
