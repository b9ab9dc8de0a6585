"""`python -m tests.kills`: programs killed by the hundred, and what they left behind.

Seeded: the same command takes the same moments, as far as a machine keeps time. Exits with 1 where
something half-written would have been loaded, or a run did not go on.
"""

import argparse
import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.record import save
from tests.kills.run import Tally, run_kills
from tests.kills.targets import TARGETS
from train.provenance import describe


def main() -> int:
    """Kill, and print a table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="for each, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--at-a-time", type=int, default=1, metavar="N", help="programs")
    parser.add_argument("--json", type=Path, help="write, or renew, the figures in this file")
    args = parser.parse_args()

    def killed(name: str) -> tuple[str, Tally]:
        return name, run_kills(TARGETS[name], args.kills, args.seed, args.minutes)

    programs: dict[str, Any] = {}
    if args.json and args.json.exists():  # of programs that are not killed now
        programs = json.loads(args.json.read_text(encoding="utf-8"))["programs"]
    wrong = False
    print(f"{'':14}{'kills':>8}{'finished':>10}{'wrong':>8}", flush=True)
    with ThreadPoolExecutor(args.at_a_time) as pool:
        for done in as_completed([pool.submit(killed, name) for name in args.programs]):
            name, tally = done.result()
            print(f"{name:14}{tally.kills:>8}{tally.finished:>10}{len(tally.wrong):>8}")
            for line in tally.wrong[:20]:
                print(f"    {line}")
            sys.stdout.flush()
            wrong |= bool(tally.wrong)
            programs[name] = {"machine": describe(), "seed": args.seed, **asdict(tally)}
            if args.json:
                save(args.json, {"programs": programs})
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
