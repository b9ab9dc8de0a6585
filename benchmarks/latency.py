"""Latency of the shipped bundle through the SDK: `python benchmarks/latency.py`.

Each precision of the bundle as `grounder bench` measures it, with machine and commit, goes to
benchmarks/results/latency.json.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sdk import GroundingError  # noqa: E402
from sdk.bundle import DEFAULT_BUNDLE  # noqa: E402
from sdk.bundle.manifest import Manifest  # noqa: E402
from sdk.diagnostics.benchmark import measure  # noqa: E402
from sdk.diagnostics.record import report, write_record  # noqa: E402
from train.provenance import describe  # noqa: E402


def main() -> int:
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
    try:
        named = args.precisions.split(",") if args.precisions else None
        for precision in named or Manifest.load(args.bundle).precisions:
            call = partial(
                measure,
                args.bundle,
                device=args.device,
                precision=precision,
                threads=args.threads,
                frames=args.samples,
                show=partial(print, flush=True),
            )
            # A process of its own, so that its memory is no other's.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                runs[precision] = process.submit(call).result()
            print("\n".join([*report(runs[precision]), ""]))
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_record(args.json, {"machine": machine, "runs": runs})
    except GroundingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
