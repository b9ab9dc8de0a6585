"""Sixty phrases of ordinary use on twenty pictures: `python -m benchmarks.askings`.

The phrases and boxes of benchmarks/askings.json were chosen and drawn before a model was asked, so
they show what a first user meets. Sixty are too few for a figure with a decimal: one phrase more or
less is two points. The answers go to benchmarks/results/askings.json with machine and commit;
`--page` also writes docs/askings.md, where each of them can be seen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.asked import ask, load, report, tally
from benchmarks.askings_page import write_page
from benchmarks.record import ROOT, save
from sdk import Grounder
from train.commands import report_errors
from train.provenance import describe


@report_errors(OSError)
def main() -> None:
    """Print the tables, write the JSON and, where asked to, the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/askings.json")
    parser.add_argument("--page", action="store_true", help="also write docs/askings.md")
    args = parser.parse_args()
    grounder = Grounder.load(args.bundle, device="cpu")
    pictures = load()
    answers = ask(grounder, pictures)
    asked = [answer for of_picture in answers for answer in of_picture]
    counts = tally(asked)
    print(report(counts))
    record = {"machine": describe(), "bundle": grounder.manifest.name, "counts": counts}
    save(args.json, {**record, "answers": [answer.to_dict() for answer in asked]})
    if args.page:
        write_page(pictures, answers, record)


if __name__ == "__main__":
    sys.exit(main())
