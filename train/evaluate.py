"""`python -m train.evaluate`: accuracy of a shipped bundle, through the SDK that users run.

Prints Acc@0.5 on Flickr30k Entities (single-box phrases, all phrases with union boxes, per kind),
on generated contrastive expressions of held-back photos, and on phrases that name nothing there.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk import Grounder, GroundingError
from train.data.expressions import absent_expression, expressions_for
from train.data.negatives import ForeignPhrases
from train.data.readers import data_root, read_detection, read_flickr30k
from train.data.samples import DataError, Expression, Photo
from train.evaluator import Outcome, Predict, accuracy, accuracy_by_kind, evaluate

Asked = list[tuple[Photo, list[Expression]]]
SEED = 0
"""Seed of the generated expressions, fixed so that everyone measures on the same ones."""


def bundle_predict(grounder: Grounder) -> Predict:
    """An evaluator's `Predict` that goes through `Grounder.ground` on the photo's file."""

    def predict(
        photo: Photo, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with grounder.encode(photo.path) as view:
            results = view.ground(list(texts))
            size = np.array(view.size_wh * 2, np.float32)
        boxes = np.array([r.box for r in results], np.float32) / size
        return boxes, np.array([r.score for r in results], np.float32)

    return predict


def caption_questions(root: Path) -> Asked:
    """Every caption phrase of the validation photos."""
    return [(p, list(p.expressions)) for p in read_flickr30k(root, "val")]


def contrastive_questions(root: Path) -> Asked:
    """Generated expressions on held-back detection photos, two or more instances of the class."""
    photos = read_detection(root, "val")
    made = [(p, expressions_for(p, random.Random(f"{SEED}/{p.path.name}"))) for p in photos]
    return [(p, [e for e in found if e.kind != "single"]) for p, found in made]


def absent_questions(root: Path) -> Asked:
    """One phrase per photo that names nothing in it: from other captions, or an absent class."""
    captions = read_flickr30k(root, "val")
    foreign = ForeignPhrases(captions)
    asked = [(p, foreign.draw(p, random.Random(f"{SEED}/{p.path.name}"))) for p in captions]
    asked += [
        (p, absent_expression(p, random.Random(f"{SEED}/{p.path.name}")))
        for p in read_detection(root, "val")
    ]
    return [(p, [e]) for p, e in asked if e is not None]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a present thing scores above an absent one (Mann-Whitney U), in percent."""
    if not positive or not negative:
        return math.nan
    scores = np.concatenate([positive, negative])
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(scores):  # ties share their mean rank
        same = scores == value
        ranks[same] = ranks[same].mean()
    n, m = len(positive), len(negative)
    return 100 * float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def expected_calibration_error(outcomes: Sequence[Outcome], bins: int = 10) -> float:
    """Mean gap between score and share of right boxes over equal-width bins, in points."""
    scores = np.array([o.score for o in outcomes])
    right = np.array([o.right for o in outcomes], float)
    index = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [
        (index == b).mean() * abs(scores[index == b].mean() - right[index == b].mean())
        for b in range(bins)
        if (index == b).any()
    ]
    return 100 * float(np.sum(gaps))


def percent_below(outcomes: Sequence[Outcome], threshold: float) -> float:
    """Share of the outcomes that `threshold` calls absent, in percent; nan for none."""
    return 100 * float(np.mean([o.score < threshold for o in outcomes])) if outcomes else math.nan


def report(
    predict: Predict, threshold: float, root: Path, *, progress: bool = True
) -> dict[str, Any]:
    """All figures as JSON types; accuracies in percent."""
    captions = evaluate(predict, caption_questions(root), progress=progress)
    contrast = evaluate(predict, contrastive_questions(root), progress=progress)
    absent = evaluate(predict, absent_questions(root), progress=progress)
    single = [o for o in captions if o.expression.single]
    right = [o for o in single if o.right]
    return {
        "flickr30k_val_single_box": {
            "accuracy": accuracy(single),
            "phrases": len(single),
            "by_kind": accuracy_by_kind(single),
        },
        "flickr30k_val_all_union": {"accuracy": accuracy(captions), "phrases": len(captions)},
        "contrastive": {
            "accuracy": accuracy(contrast),
            "phrases": len(contrast),
            "by_kind": accuracy_by_kind(contrast),
        },
        "absent": {
            "phrases": len(absent),
            "n_acc": percent_below(absent, threshold),
            "right_boxes_lost": percent_below(right, threshold),
            "auroc": auroc([o.score for o in single], [o.score for o in absent]),
        },
        "calibration_error": expected_calibration_error(single),
    }


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures; a nan ("no such phrases") becomes null."""
    text = json.dumps(figures, indent=1).replace(": NaN", ": null")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def print_report(figures: dict[str, Any]) -> None:
    """A table for people."""
    for name, title in (
        ("flickr30k_val_single_box", "Flickr30k Entities val, single-box phrases"),
        ("flickr30k_val_all_union", "Flickr30k Entities val, all phrases (union boxes)"),
        ("contrastive", "contrastive expressions, held-back photos"),
    ):
        section = figures[name]
        print(f"{title:52s} Acc@0.5 {section['accuracy']:5.1f}  ({section['phrases']} phrases)")
        for kind, row in section.get("by_kind", {}).items():
            print(f"    {kind:48s}         {row['accuracy']:5.1f}  ({row['phrases']})")
    absent = figures["absent"]
    print(
        f"absent things: {absent['n_acc']:.1f}% called absent, "
        f"{absent['right_boxes_lost']:.1f}% of right boxes lost, AUROC "
        f"{absent['auroc']:.1f}  ({absent['phrases']} phrases)"
    )
    print(f"expected calibration error {figures['calibration_error']:.1f} points")


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args(argv)
    try:
        root = data_root(args.data)
        grounder = Grounder.load(args.bundle, device=args.device, precision=args.precision)
        figures = report(bundle_predict(grounder), grounder.manifest.threshold, root)
    except (DataError, GroundingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_report(figures)
    if args.json:
        write_json(args.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
