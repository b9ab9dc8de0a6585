"""The server of the shipped bundle under attack: `python -m benchmarks.attack`.

Sixteen clients ask small questions, as in `benchmarks/server.py`: alone, with eight attackers of
`benchmarks/attackers.py` beside them, two of each kind, and alone again. Attackers have a process
of their own, and each a loopback address of its own, so that this needs Linux. Seconds are bounded;
what clients and attackers got goes to benchmarks/results/attack.json. Exits with 1 where a small
request is refused or lost, or takes 2 s.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from benchmarks.attackers import ATTACKS
from benchmarks.record import ROOT, save
from benchmarks.server import (
    WARM_UP,
    different_frames,
    line,
    load,
    load_average,
    serving,
)
from train.provenance import describe

CLIENTS = 16
SIZE_WH = (160, 120)
EACH = 2
MOST_SECONDS = 2.0
ENDLESS = 10**9


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="default: the shipped")
    parser.add_argument("--seconds", type=float, default=30, help="of each part")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/attack.json")
    args = parser.parse_args()
    pictures, parts = different_frames(SIZE_WH), {}
    record: dict[str, Any] = {"machine": describe(), "load_average_before": load_average()}
    with serving(
        ["--device", "cpu", *(["--bundle", args.bundle] if args.bundle else [])]
    ) as server:
        load(server, pictures, 1, WARM_UP, args.seconds)
        for part in ("before", "attacked", "after"):
            if part == "attacked":
                with attacked(server, EACH) as got:
                    parts[part] = load(server, pictures, CLIENTS, ENDLESS, args.seconds)
            else:
                parts[part] = load(server, pictures, CLIENTS, ENDLESS, args.seconds)
            print(line(part, CLIENTS, parts[part]), flush=True)
    for kind, counts in got.items():
        print(f"{kind:12}", dict(counts))
    slowest = parts["attacked"]["milliseconds"]["p100"] / 1000
    refused = sum(part["refused"] for part in parts.values())
    save(args.json, {**record, "picture_wh": SIZE_WH, "attackers": got, "clients": parts})
    print(f"slowest of the small requests: {slowest:.2f} s; refused or lost: {refused}")
    return int(refused > 0 or slowest >= MOST_SECONDS)


@contextmanager
def attacked(server: str, each: int) -> Iterator[dict[str, Any]]:
    """Attackers beside the block, `each` of a kind; afterwards, what they got, by kind."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    over = context.Event()
    process = context.Process(target=_attack, args=(server, each, over, theirs), daemon=True)
    process.start()
    ours.recv()  # they have begun
    got: dict[str, Any] = {}
    try:
        yield got
    finally:
        over.set()
        got.update(ours.recv())
        process.join()


def _attack(server: str, each: int, over: Event, parent: Connection) -> None:
    """In a process: sends once when they begin, and what they got when they have ended."""
    got = {kind: Counter[str]() for kind in ATTACKS}
    numbers = count(2)
    with ThreadPoolExecutor(each * len(ATTACKS)) as pool:
        running = [
            pool.submit(attack, f"127.0.0.{next(numbers)}", server, over, got[kind])
            for kind, attack in ATTACKS.items()
            for _ in range(each)
        ]
        parent.send("begun")
    for one in running:
        one.result()
    parent.send(got)


if __name__ == "__main__":
    sys.exit(main())
