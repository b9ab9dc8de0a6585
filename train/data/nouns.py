"""Words for classes."""

from __future__ import annotations

import random

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
