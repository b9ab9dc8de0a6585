"""`python -m train.evaluate`: accuracy of a shipped bundle, through the SDK that users run.

Prints Acc@0.5 on the validation split (single-box phrases, all phrases with union boxes, per kind,
with a distractor), on contrastive expressions of held-back photos, and what absent things
score. `benchmarks/accuracy.py` adds what a worse picture or another wording costs.

With --checkpoint it asks the model of a training run, in PyTorch and without an export; its scores
are not calibrated. With --split it asks another split of data of one's own, as testA.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sdk import Grounder
from sdk.bundle import DEFAULT_BUNDLE
from train.commands import report_errors
from train.data.places import area
from train.data.readers import data_root
from train.data.samples import DataError
from train.evaluator import (
    Outcome,
    Predict,
    accuracy,
    accuracy_by_kind,
    bundle_predict,
    evaluate,
)
from train.locations import add_location_flags, given_locations
from train.metrics import auroc, expected_calibration_error, percent_below, reliability
from train.provenance import write_json
from train.questions import (
    VAL,
    absent_questions,
    caption_questions,
    contrastive_questions,
    has_distractor,
    is_prominent,
)

UNCALIBRATED = 0.5
"""The threshold of a checkpoint, which has none: its score is a probability as it was trained."""


def section(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Acc@0.5 in percent, overall and per kind."""
    return {
        "accuracy": accuracy(outcomes),
        "phrases": len(outcomes),
        "by_kind": accuracy_by_kind(outcomes),
    }


def by_area(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Acc@0.5 in percent by the share of the photo that the box to find covers."""
    rows = {}
    for low, high in pairwise((0, 0.01, 0.03, 0.1, 0.3, 1)):
        inside = [o for o in outcomes if low < area(o.expression.boxes[0]) <= high]
        rows[f"{low:.0%} to {high:.0%}"] = {"accuracy": accuracy(inside), "phrases": len(inside)}
    return rows


def report(
    predict: Predict, threshold: float, root: Path, *, split: str = VAL, progress: bool = True
) -> dict[str, Any]:
    """All figures but robustness as JSON types; accuracies in percent."""
    captioned = caption_questions(root, split)
    captions = evaluate(predict, captioned, progress=progress)
    contrast = evaluate(predict, contrastive_questions(root), progress=progress)
    absent = evaluate(predict, absent_questions(root, split), progress=progress)
    single = [o for o in captions if o.expression.single]
    few = [o for o in contrast if o.expression.num_instances <= 3]
    # One absent phrase per captioned photo is the mix that the calibration is for.
    paths = {photo.path for photo, _ in captioned}
    mixed = [*single, *(o for o in absent if o.photo.path in paths)]
    return {
        "val_single_box": section(single),
        "val_distractor": section([o for o in single if has_distractor(o.photo, o.expression)]),
        "val_all_union": section(captions),
        "contrastive_two_or_three": section(few),
        "contrastive_four_or_more": section(
            [o for o in contrast if o.expression.num_instances > 3]
        ),
        "contrastive_prominent": section([o for o in contrast if is_prominent(o.expression)]),
        "contrastive_by_area": by_area(few),
        "absent": {
            "phrases": len(absent),
            "n_acc": percent_below(absent, threshold),
            "right_boxes_lost": percent_below([o for o in single if o.right], threshold),
            "auroc": auroc([o.score for o in single], [o.score for o in absent]),
        },
        "calibration_error": expected_calibration_error(single),
        "calibration_error_with_absent": expected_calibration_error(mixed),
        "reliability": reliability(mixed),
    }


SECTIONS = {
    "val_single_box": "{split}, single-box phrases",
    "val_distractor": "of these, with a distractor of the same kind",
    "val_all_union": "{split}, all phrases (union boxes)",
    "contrastive_two_or_three": "contrastive, two or three instances",
    "contrastive_four_or_more": "contrastive, four or more instances",
    "contrastive_prominent": "contrastive, as RefCOCOg chose (2-4, from 5% of the photo)",
}


def print_report(figures: dict[str, Any], split: str = VAL) -> None:
    """A table for people, of what was asked."""
    for name, form in SECTIONS.items():
        if not figures[name]["phrases"]:
            continue
        rows, title = figures[name], form.format(split="validation" if split == VAL else split)
        print(f"{title:60s} Acc@0.5 {rows['accuracy']:5.1f}  ({rows['phrases']} phrases)")
        for kind, row in rows["by_kind"].items():
            print(f"    {kind:56s}         {row['accuracy']:5.1f}  ({row['phrases']})")
    sizes = {s: row for s, row in figures["contrastive_by_area"].items() if row["phrases"]}
    if sizes:
        print("contrastive, two or three instances, by the share of the photo that the box covers")
    for share, row in sizes.items():
        print(f"    {share:56s}         {row['accuracy']:5.1f}  ({row['phrases']})")
    absent = figures["absent"]
    if absent["phrases"]:
        print(
            f"absent things: {absent['n_acc']:.1f}% called absent, "
            f"{absent['right_boxes_lost']:.1f}% of right boxes lost, AUROC "
            f"{absent['auroc']:.1f}  ({absent['phrases']} phrases)"
        )
    if figures["val_single_box"]["phrases"]:
        mixed = figures["calibration_error_with_absent"]
        beside = f", with absent things {mixed:.1f}" if absent["phrases"] else ""
        print(f"expected calibration error {figures['calibration_error']:.1f} points{beside}")


def asked_model(args: argparse.Namespace) -> tuple[Predict, float]:
    """The model that the flags name, and from which score on it says that something is there."""
    if args.checkpoint:
        from train.checkpoint import CheckpointError  # a bundle is evaluated without PyTorch
        from train.inference import checkpoint_predict

        try:
            predict = checkpoint_predict(args.checkpoint, args.vocab, given_locations(args))
        except CheckpointError as error:
            raise DataError(f"--checkpoint: {error}") from error
        return predict, UNCALIBRATED
    grounder = Grounder.load(args.bundle, device=args.device, precision=args.precision)
    return bundle_predict(grounder), grounder.manifest.threshold


@report_errors(ValueError, OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    asked.add_argument("--checkpoint", type=Path, help="of a run of `python -m train`")
    parser.add_argument("--split", default=VAL, help="of data of one's own, as testA, testB")
    parser.add_argument(
        "--vocab", type=Path, default=DEFAULT_BUNDLE / "vocab.txt", help="of --checkpoint"
    )
    add_location_flags(parser)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args(argv)
    root = data_root(args.data)
    figures = report(*asked_model(args), root, split=args.split)
    print_report(figures, args.split)
    if args.json:
        write_json(args.json, figures)


if __name__ == "__main__":
    sys.exit(main())
