"""Expressions that tell a labelled thing by another one, or by what it is not.

"the cup to the left of the laptop", "the chair next to the bed", "the dog that is not on the left":
made only where geometry leaves no doubt which one is meant. Behind and in front of are left out,
since boxes do not show them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

from sdk._internal.plurals import plural
from train.data.nouns import noun_for
from train.data.places import POSITION_MARGIN, area, center, gap, shared, turned
from train.data.samples import Box, Expression, Instance

SPATIAL, NEGATION, UNTRUE = "spatial", "negation", "absent"
NEAR_RATIO = 2.0
"""How many times as far away every other one must be for one to be "next to"."""
SURFACES = frozenset(
    ("bed", "bench", "chair", "couch", "dining table", "sofa", "diningtable", "oven", "sink")
)
"""Classes that things stand or lie on."""
SIDES = {
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
NEXT_TO = ("next to", "beside", "near", "by", "close to")
Groups = Mapping[str, Sequence[Instance]]
"""Class -> its instances in a photo, all of them."""


def spatial_expressions(groups: Groups, rng: random.Random) -> Iterator[Expression]:
    """Expressions for one of a class by the only instance of another, and some that are untrue.

    An untrue one has no box: it names things that are there in a place where none is.
    """
    for landmark, (*only,) in groups.items():
        if len(only) != 1:
            continue
        for label, group in groups.items():
            if label == landmark:
                continue
            for words, found in placed(group, only[0], landmark):
                text = f"the {noun_for(label, rng)} {rng.choice(words)} the "
                text += noun_for(landmark, rng)
                if len(found) == 1:
                    boxes, beside = (found[0].box,), (only[0].box,)
                    yield Expression(text, boxes, SPATIAL, len(group), label, context=beside)
                elif not found:
                    yield Expression(text, (), UNTRUE, label=label)


def placed(
    group: Sequence[Instance], landmark: Instance, label: str
) -> Iterator[tuple[Sequence[str], list[Instance]]]:
    """Words for a place and who of `group` is there; places with a doubtful case are left out."""
    for side, words in SIDES.items():
        answers = [is_at(side, i.box, landmark.box) for i in group]
        if None not in answers:
            yield words, [i for i, there in zip(group, answers, strict=True) if there]
    if len(group) > 1:
        near = sorted(group, key=lambda i: gap(i.box, landmark.box))
        if gap(near[1].box, landmark.box) >= NEAR_RATIO * gap(near[0].box, landmark.box) + 0.05:
            yield NEXT_TO, near[:1]
    if label in SURFACES:
        upon = [i for i in group if is_on(i.box, landmark.box)]
        if upon:
            yield ("on", "on top of"), upon


def is_at(side: str, box: Box, landmark: Box) -> bool | None:
    """Whether a box lies at that side of another one; None where people might disagree.

    Left and right: it ends before the other's middle. Above and below: the boxes do not overlap,
    and share some of their width.
    """
    if side in ("right", "below"):
        box, landmark = turned(box), turned(landmark)
    axis = 0 if side in ("left", "right") else 1
    apart = center(landmark, axis) - center(box, axis)
    if apart <= -POSITION_MARGIN:
        return False
    if axis == 0:
        clear = apart >= POSITION_MARGIN and box[2] <= center(landmark, 0)
    else:
        shares_width = min(box[2], landmark[2]) > max(box[0], landmark[0])
        clear = box[3] <= landmark[1] and shares_width
    return True if clear else None


def is_on(box: Box, surface: Box) -> bool:
    """Whether a smaller thing ends on the upper part of a surface, within its width."""
    height = surface[3] - surface[1]
    ends_there = surface[1] <= box[3] <= surface[1] + 0.7 * height
    within = surface[0] <= center(box, 0) <= surface[2]
    return ends_there and within and box[1] < surface[1] and area(box) < 0.5 * area(surface)


def without(groups: Groups, rng: random.Random) -> Iterator[Expression]:
    """ "The horse without a person": the only one of its class that no person touches.

    Each of the others has one whose greater part lies on it; "the person without a horse" likewise.
    """
    for (label, group), (other, things) in itertools.permutations(groups.items(), 2):
        if "person" not in (label, other):  # what people ride, carry and sit on
            continue
        bare = [i for i in group if all(shared(i.box, t.box) == 0 for t in things)]
        rest = [i for i in group if any(shared(i.box, t.box) > 0.5 * area(t.box) for t in things)]
        if len(bare) == 1 and len(bare) + len(rest) == len(group) > 1:
            text = f"the {noun_for(label, rng)} without a {noun_for(other, rng)}"
            yield Expression(text, (bare[0].box,), NEGATION, len(group), label)


def negations(label: str, group: Sequence[Instance], rng: random.Random) -> Iterator[Expression]:
    """Expressions for all of `group` but the one that stands first at a side."""
    across = sorted(group, key=lambda i: center(i.box, 0))
    noun = noun_for(label, rng)
    for side, (first, *others) in (("left", across), ("right", across[::-1])):
        if abs(center(others[0].box, 0) - center(first.box, 0)) < POSITION_MARGIN:
            continue
        if len(others) == 1:
            forms: tuple[str, ...] = (
                "the {} that is not on the {}",
                "the {} which is not the {} one",
            )
            text = rng.choice(forms).format(noun, side)
        else:
            forms = (
                "all {} but the {} one",
                "the {} except the {} one",
                "all the {} but the {} one",
            )
            text = rng.choice(forms).format(plural(noun), side)
        boxes = tuple(other.box for other in others)
        yield Expression(text, boxes, NEGATION, len(group), label)
