"""Accuracy of the shipped bundle on everything that is measured: `python benchmarks/accuracy.py`.

Flickr30k Entities, contrastive expressions, absent things, calibration, robustness; see
`train/evaluate.py`. The figures go to benchmarks/results/accuracy.json with machine and commit.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sdk import Grounder, GroundingError  # noqa: E402
from train.data.readers import data_root  # noqa: E402
from train.data.samples import DataError  # noqa: E402
from train.evaluate import print_report, report, write_json  # noqa: E402
from train.evaluator import bundle_predict  # noqa: E402
from train.provenance import describe  # noqa: E402
from train.questions import caption_questions, single_box  # noqa: E402
from train.robustness import print_robustness, robustness  # noqa: E402


def main() -> int:
    """Print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/accuracy.json")
    args = parser.parse_args()
    try:
        root = data_root(args.data)
        grounder = Grounder.load(args.bundle, device="cpu", precision=args.precision)
        figures = report(bundle_predict(grounder), grounder.manifest.threshold, root)
        figures["robustness"] = robustness(grounder, single_box(caption_questions(root)))
    except (DataError, GroundingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_report(figures)
    print_robustness(figures["robustness"])
    graph_bytes = sum(
        file.bytes for kinds in grounder.manifest.graphs.values() for file in kinds.values()
    )
    bundle = {"name": grounder.manifest.name, "graph_bytes": graph_bytes}
    write_json(args.json, {"machine": describe(), "bundle": bundle, **figures})
    print(f"written to {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
