"""`python -m tests.faults`: generated faults by the thousand, and what came of them.

Seeded: the same command asks the same cases. Exits with 1 where an answer was wrong, an error was
nobody's, a process crashed or hung.
"""

import argparse
import time
from pathlib import Path

from benchmarks.record import save
from tests.faults.run import FAULTS, KINDS, OUTCOMES, run_cases
from train.provenance import describe

SHARES = {"frames": 30, "phrases": 25, "values": 20, "bundles": 15, "streams": 4, "server": 6}
"""Of a hundred cases."""


def main() -> int:
    """Run the cases and print a table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    tallies, began = {}, time.perf_counter()
    print(f"{'':10}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES))
    whole = sum(SHARES[kind] for kind in args.kinds)
    for kind in args.kinds:
        count = -(-args.cases * SHARES[kind] // whole)
        tally = tallies[kind] = run_cases(KINDS[kind], count, args.seed)
        print(f"{kind:10}" + "".join(f"{tally.counts[o]:>10}" for o in OUTCOMES), flush=True)
        for fault in tally.faults[:20]:
            print(f"    {fault['outcome']}: {fault['case']}: {fault['detail']}")
    if args.json:
        record = {
            "machine": describe(),
            "seed": args.seed,
            "seconds": round(time.perf_counter() - began),
            "kinds": {k: {o: t.counts[o] for o in OUTCOMES} for k, t in tallies.items()},
            "faults": [fault for tally in tallies.values() for fault in tally.faults],
        }
        save(args.json, record)
    return int(any(tally.counts[outcome] for tally in tallies.values() for outcome in FAULTS))


if __name__ == "__main__":
    raise SystemExit(main())
