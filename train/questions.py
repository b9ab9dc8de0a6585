"""What a grounder is asked when it is measured: one fixed set of questions for everyone."""

from __future__ import annotations

import random
from pathlib import Path

from sdk.boxes import iou_xyxy
from train.data.expressions import area, expressions_for
from train.data.negatives import ForeignPhrases, absent_phrases
from train.data.readers import read_detection, read_expressions
from train.data.samples import Expression, Photo

Asked = list[tuple[Photo, list[Expression]]]
SEED = 0
"""Seed of the generated expressions."""


def caption_questions(root: Path) -> Asked:
    """Every caption phrase of the validation photos."""
    photos = read_expressions(root, "val")
    return [(p, [e for e in p.expressions if e.boxes]) for p in photos]


def single_box(asked: Asked) -> Asked:
    """Only the phrases with one box."""
    return [(photo, [e for e in expressions if e.single]) for photo, expressions in asked]


def contrastive_questions(root: Path) -> Asked:
    """Generated expressions on held-back detection photos, two or more instances of the class."""
    photos = read_detection(root, "val")
    made = [(p, expressions_for(p, random.Random(f"{SEED}/{p.path.name}"))) for p in photos]
    return [(p, [e for e in found if e.num_instances > 1]) for p, found in made]


def is_prominent(expression: Expression) -> bool:
    """RefCOCOg's rule for what people are asked to describe (Mao et al., arXiv:1511.02283).

    Two to four of a kind in the photo, and a box of at least a twentieth of it.
    """
    return 2 <= expression.num_instances <= 4 and area(expression.boxes[0]) >= 0.05


def absent_questions(root: Path) -> Asked:
    """What is not there: as the data says, else one phrase of another photo or an absent class."""
    photos = read_expressions(root, "val")
    foreign = ForeignPhrases(photos)
    asked = []
    for photo in [*photos, *read_detection(root, "val")]:
        rng = random.Random(f"{SEED}/{photo.path.name}")
        asked.append((photo, absent_phrases(photo, foreign, rng)[:1]))
    return asked


def has_distractor(photo: Photo, expression: Expression) -> bool:
    """True if another box of the same kind is in the photo: the kind alone does not find it."""
    others = [b for e in photo.expressions if e.kind == expression.kind for b in e.boxes]
    return bool((iou_xyxy(expression.boxes, others) < 0.5).all(axis=0).any())
