"""Contrastive referring expressions, generated from labelled instances.

"the dog on the left", "the biggest cat", "the second chair from the right", "the middle cow": what
caption phrases lack. Each expression names exactly one instance by a margin that a person would
accept; a class that is labelled nowhere in a photo gives an expression without a box.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from sdk._internal.plurals import plural
from train.data.colours import alike
from train.data.landmarks import negations, spatial_expressions, without
from train.data.nouns import noun_for
from train.data.places import POSITION_MARGIN, area, center
from train.data.samples import Expression, Instance, Photo

SIZE_RATIO = 1.5
"""Least ratio of two areas to be told apart by size."""
MOST_SPATIAL = 3
"""Most expressions of a photo that tell a thing by another one."""
LEAST_AREA = 0.004
"""Instances below this fraction of the photo are not referred to; they still count as instances."""
ORDINALS = ("first", "second", "third", "fourth", "fifth")
NUMBERS = ("two", "three", "four", "five", "six")
SIDE_FORMS = ("the {{noun}} on the {side}", "the {side} {{noun}}", "the {side}most {{noun}}")
COLOURLESS = frozenset({"person", "man", "woman", "boy", "girl"})
"""Classes that nobody names by the colour of most of their pixels."""

Make = Callable[[str, Instance, str], Expression]
"""(text with {noun}, the instance it names, kind) -> the expression."""


def contrastive_expressions(
    label: str, group: Sequence[Instance], rng: random.Random
) -> Iterator[Expression]:
    """All expressions that single out one of `group`, the photo's instances of one class."""
    noun = noun_for(label, rng)

    def make(text: str, instance: Instance, kind: str) -> Expression:
        return Expression(text.format(noun=noun), (instance.box,), kind, len(group), label)

    if len(group) == 1:
        yield make(rng.choice(("{noun}", "the {noun}", "a {noun}")), group[0], "single")
        return
    yield from _by_place(group, rng, make)
    yield from _by_size(group, rng, make)
    if label not in COLOURLESS:
        yield from _by_colour(group, rng, make)


def _by_place(group: Sequence[Instance], rng: random.Random, make: Make) -> Iterator[Expression]:
    across = sorted(group, key=lambda i: center(i.box, 0))
    gaps = [center(b.box, 0) - center(a.box, 0) for a, b in itertools.pairwise(across)]
    for side, instance, gap in (("left", across[0], gaps[0]), ("right", across[-1], gaps[-1])):
        if gap >= POSITION_MARGIN:
            yield make(rng.choice(SIDE_FORMS).format(side=side), instance, "left/right")
    if 3 <= len(across) <= len(ORDINALS) and min(gaps) >= POSITION_MARGIN:
        index = rng.randrange(len(across))
        yield make(f"the {ORDINALS[index]} {{noun}} from the left", across[index], "nth")
        index = rng.randrange(len(across))
        yield make(f"the {ORDINALS[index]} {{noun}} from the right", across[-1 - index], "nth")
        if len(across) == 3:
            forms = ("the middle {noun}", "the {noun} in the middle")
            yield make(rng.choice(forms), across[1], "middle")
    if len(group) == 2:
        top, bottom = sorted(group, key=lambda i: center(i.box, 1))
        if center(bottom.box, 1) - center(top.box, 1) >= 2 * POSITION_MARGIN:
            yield make(rng.choice(("the top {noun}", "the {noun} at the top")), top, "top/bottom")
            forms = ("the bottom {noun}", "the {noun} at the bottom")
            yield make(rng.choice(forms), bottom, "top/bottom")


def _by_size(group: Sequence[Instance], rng: random.Random, make: Make) -> Iterator[Expression]:
    by_area = sorted(group, key=lambda i: area(i.box))
    bigger = ("bigger", "larger") if len(group) == 2 else ("biggest", "largest")
    smaller = ("smaller",) if len(group) == 2 else ("smallest",)
    if area(by_area[-1].box) >= SIZE_RATIO * area(by_area[-2].box):
        yield make(f"the {rng.choice(bigger)} {{noun}}", by_area[-1], "size")
    if area(by_area[1].box) >= SIZE_RATIO * area(by_area[0].box):
        yield make(f"the {rng.choice(smaller)} {{noun}}", by_area[0], "size")


def _by_colour(group: Sequence[Instance], rng: random.Random, make: Make) -> Iterator[Expression]:
    """Only where every instance has a clear colour, and nobody else's passes for this one's."""
    for instance in group:
        others = [i.colour for i in group if i is not instance]
        if instance.colour and all(c and not alike(c, instance.colour) for c in others):
            forms = (f"the {instance.colour} {{noun}}", f"a {instance.colour} {{noun}}")
            yield make(rng.choice(forms), instance, "colour")


def counted_expression(
    label: str, group: Sequence[Instance], rng: random.Random
) -> Expression | None:
    """An expression that means all of `group`, and maybe says how many; None for many."""
    if len(group) > len(NUMBERS) + 1:
        return None
    if len(group) == 1:
        noun = noun_for(label, rng)
        forms: tuple[str, ...] = ("one {}", "the only {}", "a single {}")
        return Expression(rng.choice(forms).format(noun), (group[0].box,), "several", 1, label)
    nouns, number = plural(noun_for(label, rng)), NUMBERS[len(group) - 2]
    forms = ("the {}", "{}", "all the {}", "all {}", f"{number} {{}}", f"the {number} {{}}")
    boxes = tuple(instance.box for instance in group)
    return Expression(rng.choice(forms).format(nouns), boxes, "several", len(group), label)


def expressions_for(photo: Photo, rng: random.Random, *, several: bool = False) -> list[Expression]:
    """Every contrastive expression of a labelled photo, in random order.

    With `several` also expressions that mean several instances of a class, and those that tell one
    by another thing.
    """
    found = [
        e for label, g in groups_of(photo).items() for e in contrastive_expressions(label, g, rng)
    ]
    if several:
        known = known_groups(photo)
        told = [e for e in spatial_expressions(known, rng) if e.boxes]
        found += rng.sample(told, min(len(told), MOST_SPATIAL))
        found += without(known, rng)
        for label, group in known.items():
            if len(group) > 1:
                found += list(negations(label, group, rng))[rng.randrange(2) :][:1]
            found += [e for e in [counted_expression(label, group, rng)] if e]
    found = [e for e in found if min(map(area, e.boxes)) >= LEAST_AREA]
    rng.shuffle(found)
    return found


def absent_expression(photo: Photo, rng: random.Random) -> Expression | None:
    """An expression for a class that is known to be absent from the photo, or None."""
    present = {instance.label for instance in photo.instances}
    absent = sorted(photo.known_labels - present)
    if not absent:
        return None
    label = rng.choice(absent)
    forms = ("{}", "the {}", "a {}", "the {} on the left", "the {} on the right")
    text = rng.choice(forms).format(noun_for(label, rng))
    return Expression(text, (), "absent", label=label)


def untrue_expression(photo: Photo, rng: random.Random) -> Expression | None:
    """An expression for a thing that is there, in a place where none is; None without one."""
    untrue = [e for e in spatial_expressions(known_groups(photo), rng) if not e.boxes]
    return rng.choice(untrue) if untrue else None


def groups_of(photo: Photo) -> dict[str, list[Instance]]:
    """Class -> its instances."""
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in photo.instances:
        groups[instance.label].append(instance)
    return groups


def known_groups(photo: Photo) -> dict[str, list[Instance]]:
    """The same for classes whose instances are all labelled."""
    return {c: group for c, group in groups_of(photo).items() if c in photo.known_labels}
