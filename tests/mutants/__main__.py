"""Put one fault at a time into `train/methods` and `train/fusion` and run the tests of the module.

    python -m tests.mutants --json benchmarks/results/mutants.json

Every mutant is a process of its own, forked from one that has collected the tests; it changes the
loaded module in memory, no file. A mutant is killed when a test fails, alive when all pass and
`equivalent.json` does not say why that must be so. Where the file has a module as it is now,
only those of its mutants are tried again that were alive; without the file all are. Exit code 1: a
mutant is alive.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from sdk._internal.files import replace_file
from tests.mutants.operators import Mutant, mutants
from tests.mutants.planting import plant
from tests.mutants.targets import EQUIVALENT, TESTS
from tests.paths import ROOT
from train.provenance import describe

LIMIT_S = 300
"""A mutant that takes longer is killed: some never end."""


class Trial:
    """A pytest plugin: it runs the tests for each of some mutants, in place of once."""

    def __init__(self, path: str, tried: Sequence[Mutant]) -> None:
        self.path, self.tried = path, tried
        self.alive: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        parts = Path(self.path).with_suffix("").parts
        module = import_module(".".join(p for p in parts if p != "__init__"))

        def survives(source: str) -> bool:
            def judge() -> None:
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, 1)
                os.dup2(sink, 2)
                plant(module, source)
                for item, later in zip(session.items, [*session.items[1:], None], strict=True):
                    if any(r.failed for r in runtestprotocol(item, log=False, nextitem=later)):
                        os._exit(1)
                os._exit(0)

            process = multiprocessing.get_context("fork").Process(target=judge)
            process.start()
            process.join(LIMIT_S)
            if process.is_alive():
                process.kill()
                process.join()
            return process.exitcode == 0

        gc.freeze()  # or a collection would copy all that the processes share
        if not survives((ROOT / self.path).read_text()):
            raise pytest.UsageError(f"{self.path}: its tests fail without a fault")
        for mutant in self.tried:
            if survives(mutant.source):
                self.alive.append(mutant.change)
                where = f"{self.path}:{mutant.line}"
                print(f"\nalive: {where}: {mutant.change}", file=sys.__stderr__, flush=True)
        return True


def examine(path: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """A module's row: how many mutants, how many killed, which are equivalent or alive.

    Args:
        before: its row of an earlier run, or nothing.
    """
    start, found = time.monotonic(), list(mutants((ROOT / path).read_text()))
    reasons = EQUIVALENT.get(path, {})
    equivalent = [mutant.change for mutant in found if mutant.change in reasons]
    known = before.get("sha256") == fingerprint(path)
    tried = [m for m in found if not known or m.change in before["alive"]]
    trial = Trial(path, [m for m in tried if m.change not in reasons])
    options = ["-q", "--no-header", "--no-summary", "-s", "-p", "no:cacheprovider"]
    if trial.tried and (code := pytest.main([*options, *TESTS[path]], plugins=[trial])):
        raise SystemExit(f"{path}: pytest ended with {code!r}")
    row = {
        "mutants": len(found),
        "killed": len(found) - len(equivalent) - len(trial.alive),
        "equivalent": {change: reasons[change] for change in equivalent},
        "alive": trial.alive,
        "sha256": fingerprint(path),
    }
    counts = ", ".join(f"{count} {name}" for name, count in totals([row]).items())
    print(f"{path}: {counts}, {time.monotonic() - start:.0f} s", flush=True)
    return row


def fingerprint(path: str) -> str:
    """Of a module, and of what mutants are made by."""
    names = (path, "tests/mutants/operators.py")
    return sha256(b"".join((ROOT / name).read_bytes() for name in names)).hexdigest()


def totals(rows: Collection[Mapping[str, Any]]) -> dict[str, int]:
    """Sums over the modules."""
    return {
        "mutants": sum(row["mutants"] for row in rows),
        "killed": sum(row["killed"] for row in rows),
        "equivalent": sum(len(row["equivalent"]) for row in rows),
        "alive": sum(len(row["alive"]) for row in rows),
    }


def main() -> int:
    """Exit code 1 where a mutant is alive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", type=Path, help="read what is known, write what is found")
    parser.add_argument("--only", nargs="*", default=list(TESTS), help="modules")
    args = parser.parse_args()
    known: dict[str, Any] = {}
    if args.json and args.json.is_file():
        known = json.loads(args.json.read_text())["modules"]
    for path in args.only:
        known[path] = examine(path, known.get(path, {}))
        rows = {name: known[name] for name in TESTS if name in known}
        if args.json:
            record = {"machine": describe(), "totals": totals(rows.values()), "modules": rows}
            replace_file(args.json, f"{json.dumps(record, indent=1)}\n".encode())
    found = totals([known[path] for path in args.only])
    print(", ".join(f"{count} {name}" for name, count in found.items()))
    return int(found["alive"] > 0)


if __name__ == "__main__":
    sys.exit(main())
