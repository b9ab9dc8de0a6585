"""Accuracy of the shipped bundle on everything that is measured: `python -m benchmarks.accuracy`.

Flickr30k Entities, contrastive expressions, absent things, calibration, robustness; see
`train/evaluate.py`. The figures go to benchmarks/results/accuracy.json with machine and commit.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.record import ROOT, save
from sdk import Grounder
from train.commands import report_errors
from train.data.readers import data_root
from train.evaluate import print_report, report
from train.evaluator import bundle_predict
from train.provenance import describe
from train.questions import caption_questions, single_box
from train.robustness import print_robustness, robustness


@report_errors(OSError)
def main() -> None:
    """Print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/accuracy.json")
    args = parser.parse_args()
    root = data_root(args.data)
    grounder = Grounder.load(args.bundle, device="cpu", precision=args.precision)
    figures = report(bundle_predict(grounder), grounder.manifest.threshold, root)
    figures["robustness"] = robustness(grounder, single_box(caption_questions(root)))
    print_report(figures)
    print_robustness(figures["robustness"])
    graph_bytes = sum(
        file.bytes for kinds in grounder.manifest.graphs.values() for file in kinds.values()
    )
    bundle = {"name": grounder.manifest.name, "graph_bytes": graph_bytes}
    save(args.json, {"machine": describe(), "bundle": bundle, **figures})


if __name__ == "__main__":
    sys.exit(main())
