"""`python -m tests.kills`: programs killed by the hundred, and what they left behind.

Seeded: the same command takes the same moments, as far as a machine keeps time. Exits with 1 where
something half-written would have been loaded, or a run did not go on.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.record import save
from tests.kills.run import Tally, run_kills
from tests.kills.targets import TARGETS
from train.provenance import describe


def main() -> int:
    """Kill, and print a table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--at-a-time", type=int, default=1, metavar="N", help="programs")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()

    def killed(name: str) -> Tally:
        tally = run_kills(TARGETS[name], args.kills, args.seed)
        print(f"{name:14}{tally.kills:>8}{tally.finished:>10}{len(tally.wrong):>8}", flush=True)
        for wrong in tally.wrong[:20]:
            print(f"    {wrong}", flush=True)
        return tally

    print(f"{'':14}{'kills':>8}{'finished':>10}{'wrong':>8}", flush=True)
    with ThreadPoolExecutor(args.at_a_time) as pool:
        tallies = dict(zip(args.programs, pool.map(killed, args.programs), strict=True))
    if args.json:
        programs = {name: asdict(tally) for name, tally in tallies.items()}
        save(args.json, {"machine": describe(), "seed": args.seed, "programs": programs})
    return int(any(tally.wrong for tally in tallies.values()))


if __name__ == "__main__":
    raise SystemExit(main())
