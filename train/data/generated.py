"""Questions for data of one's own, made from its validation split."""

from __future__ import annotations

import random
from pathlib import Path

from train.data.expressions import expressions_for
from train.data.negatives import ForeignPhrases, absent_phrases
from train.data.own import read_own
from train.data.readers import read_detection
from train.data.samples import Asked, Expression, Photo

SEED = 0
"""Of everything that is drawn."""


def captions(root: Path, split: str) -> Asked:
    """Every phrase with a box."""
    photos = read_own(root, split)
    return [(p, [e for e in p.expressions if e.boxes]) for p in photos]


def contrastive(root: Path) -> Asked:
    """Expressions that single out one of several instances on held-back labelled photos."""
    return [(p, [e for e in found if e.num_instances > 1]) for p, found in _labelled(root)]


def named(root: Path) -> Asked:
    """Class names of which a held-back labelled photo shows one instance."""
    return [(p, [e for e in found if e.num_instances == 1]) for p, found in _labelled(root)]


def absent(root: Path, split: str) -> Asked:
    """What is not there: as the data says, else one phrase of another photo or an absent class."""
    photos = read_own(root, split)
    foreign = ForeignPhrases(photos)
    asked = []
    for photo in [*photos, *read_detection(root, "val")]:
        said = [e for e in photo.expressions if not e.boxes]
        asked.append((photo, said or absent_phrases(photo, foreign, _rng(photo))[:1]))
    return asked


def _labelled(root: Path) -> list[tuple[Photo, list[Expression]]]:
    return [(p, expressions_for(p, _rng(p))) for p in read_detection(root, "val")]


def _rng(photo: Photo) -> random.Random:
    return random.Random(f"{SEED}/{photo.path.name}")
