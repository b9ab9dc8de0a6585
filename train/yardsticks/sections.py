"""The figures of a model, section by section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from train.data.own import has_own
from train.data.samples import spread
from train.evaluator import Outcome
from train.metrics import f1
from train.questions import (
    absent_questions,
    caption_questions,
    contrastive_questions,
    in_fitting_half,
    is_prominent,
)
from train.yardsticks.answers import Lists, Outcomes, as_rows, to_nearest
from train.yardsticks.figure import (
    REJECTED,
    Figure,
    absent_rejected,
    absent_rejected_at_cost,
    calibration,
    mean_score,
    right,
    right_rejected,
    separation,
)
from train.yardsticks.intervals import Rows
from train.yardsticks.lists import (
    APART,
    COUNTS,
    NEGATION,
    SWAPS,
    everyday_questions,
    frozen_questions,
    miscounted,
    relation_questions,
)

OTHER_NOUN = "other_noun"
MISCOUNTED = "miscounted"


def read_lists(root: Path, limit: int = 0) -> Lists:
    """The lists that a data folder has; with `limit`, so many photos of each, evenly spaced.

    Raises:
        DataError: see `train.yardsticks.lists`.
    """
    lists = {
        "everyday": everyday_questions(root),
        "relations": relation_questions(root),
        OTHER_NOUN: relation_questions(root, OTHER_NOUN),
        "captions": caption_questions(root),
        "contrastive": contrastive_questions(root),
        "absent": absent_questions(root),
    }
    if not has_own(root):
        lists |= {name: frozen_questions(root, name) for name in (NEGATION, SWAPS, COUNTS)}
        lists[MISCOUNTED] = miscounted(lists[COUNTS])
    kept = {name: [q for q in asked if q[1]] for name, asked in lists.items()}
    return {name: spread(asked, limit) for name, asked in kept.items() if asked}


def figures(outcomes: Outcomes, threshold: float | None) -> dict[str, dict[str, Figure]]:
    """Section -> name -> figure; sections whose lists were not asked are left out.

    `threshold`: from which score on the model finds things; without one these figures are left out.
    """
    sections: dict[str, Callable[[Outcomes], dict[str, Figure]]] = {
        "everyday": partial(everyday, threshold=threshold),
        "relations": relations,
        "captions": captions,
        "contrastive": contrastive,
        "absent": partial(absent, threshold=threshold),
        "negation": negation,
        "swaps": swaps,
    }
    made = {name: make(outcomes) for name, make in sections.items() if name in outcomes}
    if any(o.instances for found in outcomes.values() for o in found):
        made["instances"] = instances(outcomes)
    return made


def judged(outcomes: Outcomes) -> Outcomes:
    """Name of a list -> outcomes whose `right` is what the figures count."""
    found = {name: list(of_list) for name, of_list in outcomes.items() if name != OTHER_NOUN}
    # Of several boxes one that is right is enough; all of them are the matter of `instances`.
    return found | {"everyday": [to_nearest(o) for o in found.get("everyday", ())]}


def everyday(outcomes: Outcomes, threshold: float | None) -> dict[str, Figure]:
    """Things of COCO's classes, named as everybody would."""
    found = judged(outcomes)["everyday"]
    kinds = {o.expression.kind for o in found}
    titles = {
        "unique": "the only one of its class",
        "left_right": "left or right one of two",
        "size": "bigger or smaller one of two",
        "many": "one of several (best box on any)",
    }
    made = {
        kind: Figure(f"{title}, Acc@0.5", as_rows(_of(found, kind)), right)
        for kind, title in titles.items()
        if kind in kinds
    }
    both = as_rows(_of(found, "unique", "absent"))
    made["auroc"] = Figure("AUROC, the only one against absent", both, separation)
    title = f"absent rejected where {REJECTED:.0%} of the right ones are"
    made["absent_rejected_at_cost"] = Figure(title, both, absent_rejected_at_cost)
    if threshold is not None:
        made |= _at_threshold(both, threshold)
    made["calibration_error"] = Figure("calibration error, all kinds", as_rows(found), calibration)
    return made


def relations(outcomes: Outcomes) -> dict[str, Figure]:
    """Phrases with a second noun: is the box the head noun's?

    "On the other noun": of phrases whose nouns are apart, the box has an IoU of at least 0.5 with
    the second noun's.
    """
    found, other = outcomes["relations"], outcomes[OTHER_NOUN]
    return {
        "right": Figure("box of the head noun, Acc@0.5", as_rows(found), right),
        "apart": Figure("of these with nouns apart, Acc@0.5", as_rows(_of(found, APART)), right),
        "other_noun": Figure("nouns apart, box on the other", as_rows(_of(other, APART)), right),
    }


def captions(outcomes: Outcomes) -> dict[str, Figure]:
    """Phrases of the validation captions; calibration on the half that is not fitted on."""
    single = [o for o in outcomes["captions"] if o.expression.single]
    union = as_rows(outcomes["captions"])
    held_out = as_rows(_not_fitted_on(single))
    return {
        "single_box": Figure("phrases with one box, Acc@0.5", as_rows(single), right),
        "union_box": Figure("all phrases, union of the boxes, Acc@0.5", union, right),
        "calibration_error": Figure("calibration error, one box", held_out, calibration),
    }


def contrastive(outcomes: Outcomes) -> dict[str, Figure]:
    """Expressions that single out one of several instances."""
    few = [o for o in outcomes["contrastive"] if o.expression.num_instances <= 3]
    prominent = [o for o in outcomes["contrastive"] if is_prominent(o.expression)]
    return {
        "two_or_three": Figure("two or three instances, Acc@0.5", as_rows(few), right),
        "prominent": Figure("as RefCOCOg chose, Acc@0.5", as_rows(prominent), right),
    }


def absent(outcomes: Outcomes, threshold: float | None) -> dict[str, Figure]:
    """What is not there, against the captions' phrases with one box.

    The threshold is judged on the half of the photos that it is not fitted on.
    """
    single = [o for o in outcomes["captions"] if o.expression.single]
    both = [*single, *outcomes["absent"]]
    made = {"auroc": Figure("AUROC, captions against absent", as_rows(both), separation)}
    if threshold is not None:
        made |= _at_threshold(as_rows(_not_fitted_on(both)), threshold)
    return made


def negation(outcomes: Outcomes) -> dict[str, Figure]:
    """Phrases for what a thing is not, on held-back labelled photos; refusals are wrong."""
    found = [to_nearest(o) for o in outcomes["negation"]]
    return {"right": Figure("what it is not, Acc@0.5", as_rows(found), right)}


def swaps(outcomes: Outcomes) -> dict[str, Figure]:
    """Phrases that one swapped word makes untrue, against those that they were made from."""
    rows = as_rows(outcomes["swaps"])
    title = f"swaps rejected where {REJECTED:.0%} of the right are"
    return {
        "rejected_at_cost": Figure(title, rows, absent_rejected_at_cost),
        "auroc": Figure("AUROC, true against swapped", rows, separation),
    }


def instances(outcomes: Outcomes) -> dict[str, Figure]:
    """All that a phrase names: mean F1 of the boxes at an IoU of 0.5, and exact numbers.

    Of captions and counts, those of the half that is not fitted on. The number in a phrase of
    "counts" is true; that of "miscounted" is one too high.
    """
    asked = {
        "everyday": [o for o in outcomes.get("everyday", ()) if o.expression.kind == "many"],
        "captions": [
            o for o in _not_fitted_on(outcomes.get("captions", ())) if len(o.expression.boxes) > 1
        ],
    }
    made = {}
    for name, found in asked.items():
        if found:
            alone = [replace(o, instances=((o.box, o.score),)) for o in found]
            made[name] = Figure(f"several of {name}, F1@0.5", _by_f1(found), mean_score)
            title = f"several of {name}, best box alone, F1@0.5"
            made[f"{name}_alone"] = Figure(title, _by_f1(alone), mean_score)
    titles = {
        COUNTS: "one to five, exact number",
        MISCOUNTED: "the same, asked for one more: exact number all the same",
    }
    for name, title in titles.items():
        if counts := _not_fitted_on(outcomes.get(name, ())):
            exact = [len(o.instances) == len(o.expression.boxes) for o in counts]
            made[name] = Figure(title, replace(as_rows(counts), right=np.array(exact)), right)
    return made


def _by_f1(outcomes: Sequence[Outcome]) -> Rows:
    return replace(as_rows(outcomes), scores=np.array([f1(o) for o in outcomes]))


def _at_threshold(rows: Rows, threshold: float) -> dict[str, Figure]:
    return {
        "absent_rejected": Figure(
            "absent rejected, shipped threshold",
            rows,
            partial(absent_rejected, threshold=threshold),
        ),
        "right_rejected": Figure(
            "right boxes rejected, shipped threshold",
            rows,
            partial(right_rejected, threshold=threshold),
        ),
    }


def _not_fitted_on(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if not in_fitting_half(o.photo)]


def _of(outcomes: Sequence[Outcome], *kinds: str) -> list[Outcome]:
    return [o for o in outcomes if o.expression.kind in kinds]
