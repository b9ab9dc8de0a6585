"""What a grounder is asked when it is measured: the same questions for everyone.

They are the frozen lists of `train.yardsticks`; for data of one's own, which has none, they are
made from its validation split.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from sdk.geometry.boxes import iou_xyxy
from train.data import generated
from train.data.own import has_own
from train.data.places import area
from train.data.samples import Asked, DataError, Expression, Photo
from train.yardsticks.lists import ABSENT, CAPTIONS, CONTRASTIVE, COUNTS, NAMED, frozen_questions

VAL = "val"


def caption_questions(root: Path, split: str = VAL) -> Asked:
    """Every caption phrase of the validation photos, or of another split of one's own data.

    Raises:
        DataError: no such split.
    """
    if has_own(root, "train", VAL, split):
        return generated.captions(root, split)
    check_split(split)
    return frozen_questions(root, CAPTIONS)


def check_split(split: str) -> None:
    """Raises DataError for a split that has no questions: the frozen lists are of one alone."""
    if split != VAL:
        raise DataError(
            f"--split: expected {VAL}, or the name of a file as {split}.jsonl in the data folder, "
            f"got {split!r}"
        )


def contrastive_questions(root: Path, *, yardstick_photos: bool = True) -> Asked:
    """Expressions on held-back labelled photos that single out one of several instances.

    Without `yardstick_photos` to choose by, see `frozen_questions`.
    """
    if has_own(root):
        return generated.contrastive(root)
    return frozen_questions(root, CONTRASTIVE, yardstick_photos=yardstick_photos)


def absent_questions(root: Path, split: str = VAL, *, yardstick_photos: bool = True) -> Asked:
    """What is not there, on all these photos.

    Without `yardstick_photos` to calibrate on, see `frozen_questions`.
    """
    if has_own(root, "train", VAL, split):
        return generated.absent(root, split)
    check_split(split)
    return frozen_questions(root, ABSENT, yardstick_photos=yardstick_photos)


def named_questions(root: Path) -> Asked:
    """Class names of which a held-back labelled photo shows one instance; of no yardstick photo."""
    return generated.named(root) if has_own(root) else frozen_questions(root, NAMED)


def counted_questions(root: Path) -> Asked:
    """ "Two dogs": everything of a class on held-back labelled photos; none of one's own data."""
    return [] if has_own(root) else frozen_questions(root, COUNTS)


def in_fitting_half(photo: Photo) -> bool:
    """Whether scores are calibrated on this photo; the figures come from the others.

    Photos are split by their name, so that every build splits alike.
    """
    return sha256(photo.path.name.encode()).digest()[0] % 2 == 0


def single_box(asked: Asked) -> Asked:
    """Only the phrases with one box."""
    return [(photo, [e for e in expressions if e.single]) for photo, expressions in asked]


def is_prominent(expression: Expression) -> bool:
    """RefCOCOg's rule for what people are asked to describe (Mao et al., arXiv:1511.02283).

    Two to four of a kind in the photo, and a box of at least a twentieth of it.
    """
    return 2 <= expression.num_instances <= 4 and area(expression.boxes[0]) >= 0.05


def has_distractor(photo: Photo, expression: Expression) -> bool:
    """True if another box of the same kind is in the photo: the kind alone does not find it."""
    others = [b for e in photo.expressions if e.kind == expression.kind for b in e.boxes]
    return bool((iou_xyxy(expression.boxes, others) < 0.5).all(axis=0).any())
