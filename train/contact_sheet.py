"""`python -m train.contact_sheet`: the worst mistakes of a bundle, many to a picture.

Green is where the thing is, red is the bundle's box. The surest mistakes come first. The pictures
hold photos of the dataset: keep them to yourself where its licence says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sdk import Grounder
from train.commands import report_errors
from train.data.readers import data_root
from train.data.sheets import Tile, write_sheets
from train.evaluator import Outcome, bundle_predict, evaluate
from train.questions import absent_questions, caption_questions, contrastive_questions, single_box

QUESTIONS = {
    "captions": lambda root: single_box(caption_questions(root)),
    "contrastive": contrastive_questions,
    "absent": absent_questions,
}


def tile(outcome: Outcome) -> Tile:
    """One mistake."""
    expression = outcome.expression
    figures = f"score {outcome.score:.2f}, IoU {outcome.iou:.2f}, {expression.kind}"
    return Tile(outcome.photo, (expression.text, figures), expression.boxes, (outcome.box,))


def write_mistakes(
    outcomes: Sequence[Outcome], folder: Path, name: str = "mistakes", worst: int = 100
) -> list[Path]:
    """Draw the surest of the wrong answers; returns the paths of the pictures."""
    mistakes = sorted((o for o in outcomes if not o.right), key=lambda o: -o.score)
    return write_sheets([tile(o) for o in mistakes[:worst]], folder, name)


@report_errors()
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.contact_sheet", description=__doc__)
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--questions", choices=QUESTIONS, default="captions")
    parser.add_argument("--worst", type=int, default=100, help="how many mistakes")
    parser.add_argument("--out", type=Path, default=Path("mistakes"), help="folder of the pictures")
    args = parser.parse_args(argv)
    asked = QUESTIONS[args.questions](data_root(args.data))
    outcomes = evaluate(bundle_predict(Grounder.load(args.bundle)), asked)
    for path in write_mistakes(outcomes, args.out, worst=args.worst):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
