"""Latency of the shipped bundle through the SDK: `python -m benchmarks.latency`.

Each precision of the bundle as `grounder bench` measures it, with machine and commit, goes to
benchmarks/results/latency.json.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from benchmarks.record import ROOT, save
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.manifest import Manifest
from sdk.diagnostics.benchmark import measure
from sdk.diagnostics.record import report
from train.commands import in_own_process, report_errors
from train.provenance import describe


@report_errors(OSError)
def main() -> None:
    """Print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="default: the shipped")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", help="comma-separated; all of the bundle if left out")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/latency.json")
    args = parser.parse_args()
    machine, runs = describe(), {}
    named = args.precisions.split(",") if args.precisions else None
    for precision in named or Manifest.load(args.bundle).precisions:
        runs[precision] = in_own_process(
            measure,
            args.bundle,
            device=args.device,
            precision=precision,
            threads=args.threads,
            frames=args.samples,
            show=partial(print, flush=True),
        )
        print("\n".join([*report(runs[precision]), ""]))
    save(args.json, {"machine": machine, "runs": runs})


if __name__ == "__main__":
    sys.exit(main())
