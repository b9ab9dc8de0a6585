"""People of a captioned photo as labelled instances, so that contrast can be asked about them.

Five captions name nearly everybody in a photo with few people, so the boxes of all phrases about
people are its people. Where each of them is called a man, a woman, a boy or a girl and nothing
else, they are instances of that too. Photos with a crowd, or with one box around several people,
are left out: not everybody has a box there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sdk.geometry.boxes import iou_xyxy
from train.data.samples import Box, Expression, Instance

MOST_PEOPLE = 6
SAME_PERSON_IOU = 0.6
_NOUNS = {
    "man": ("man", "men", "guy", "guys", "gentleman"),
    "woman": ("woman", "women", "lady", "ladies"),
    "boy": ("boy", "boys"),
    "girl": ("girl", "girls"),
}
_CLASS_OF = {noun: label for label, nouns in _NOUNS.items() for noun in nouns}
_CROWD = re.compile(
    r"\b(crowd|group|teams?|audience|spectators|onlookers|band|family|bystanders|others)\b"
)
_SEVERAL = re.compile(
    r"\b(people|men|women|boys|girls|children|kids|guys|ladies|players|adults|couple|both|two|"
    r"three|four|five|several|some|many)\b"
)


def people_instances(expressions: Sequence[Expression]) -> tuple[Instance, ...]:
    """Instances labelled "person", and by their nouns if all have one; () unless 2-6 people."""
    boxes: list[Box] = []
    nouns: list[set[str | None]] = []
    for expression in expressions:
        if expression.kind != "people":
            continue
        text = expression.text.lower()
        if _CROWD.search(text) or (expression.single and _SEVERAL.search(text)):
            return ()
        noun = _CLASS_OF.get(text.split()[-1]) if text.split() else None
        for box in expression.boxes:
            overlaps = iou_xyxy([box], boxes)[0] if boxes else np.zeros(1)
            if overlaps.max() >= SAME_PERSON_IOU:
                nouns[int(overlaps.argmax())].add(noun)
            else:
                boxes.append(box)
                nouns.append({noun})
    if not 2 <= len(boxes) <= MOST_PEOPLE:
        return ()
    people = [Instance("person", box) for box in boxes]
    known = [names - {None} for names in nouns]
    if all(len(names) == 1 for names in known):
        people += [Instance(str(*names), box) for names, box in zip(known, boxes, strict=True)]
    return tuple(people)
