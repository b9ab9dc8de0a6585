"""Put one fault at a time into `train/methods` and `train/fusion` and run the tests of the module.

    python -m tests.mutants --json benchmarks/results/mutants.json

Every mutant is a process of its own, forked from one that has collected the tests; it changes the
loaded module in memory, no file. A mutant is killed when a test fails, alive when all pass and
`targets.EQUIVALENT` does not say why that must be so. Of a file that is there, modules are kept
whose source, tests and equivalents are what they were. Exit code 1: a mutant is alive.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import time
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from sdk._internal.files import replace_file
from tests.mutants.operators import mutants
from tests.mutants.planting import plant
from tests.mutants.targets import EQUIVALENT, TESTS
from tests.paths import ROOT
from train.provenance import describe

LIMIT_S = 300
"""A mutant that takes longer is killed: some never end."""


class Examiner:
    """A pytest plugin: in place of running the tests once, it runs them for every mutant."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.row: dict[str, Any] = {"mutants": 0, "killed": 0, "equivalent": [], "alive": []}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        source = (ROOT / self.path).read_text()
        parts = Path(self.path).with_suffix("").parts
        module = import_module(".".join(p for p in parts if p != "__init__"))

        def survives(changed: str) -> bool:
            def judge() -> None:
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, 1)
                os.dup2(sink, 2)
                plant(module, changed)
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
        if not survives(source):
            raise pytest.UsageError(f"{self.path}: its tests fail without a fault")
        for mutant in mutants(source):
            self.row["mutants"] += 1
            reason = EQUIVALENT.get((self.path, mutant.change))
            if reason is not None:
                self.row["equivalent"].append({"change": mutant.change, "why": reason})
            elif survives(mutant.source):
                self.row["alive"].append(f"{self.path}:{mutant.line}: {mutant.change}")
                print(f"\nalive: {self.row['alive'][-1]}", file=sys.__stderr__, flush=True)
            else:
                self.row["killed"] += 1
        return True


def examine(path: str) -> dict[str, Any]:
    """A module's row: how many mutants, how many killed, which are equivalent or alive."""
    start, examiner = time.monotonic(), Examiner(path)
    options = ["-q", "--no-header", "--no-summary", "-s", "-p", "no:cacheprovider"]
    code = pytest.main([*options, *TESTS[path]], plugins=[examiner])
    if code:
        raise SystemExit(f"{path}: pytest ended with {code!r}")
    row = examiner.row | {"sha256": fingerprint(path)}
    print(
        f"{path}: {row['mutants']} mutants, {row['killed']} killed, {len(row['equivalent'])} "
        f"equivalent, {len(row['alive'])} alive, {time.monotonic() - start:.0f} s",
        flush=True,
    )
    return row


def fingerprint(path: str) -> str:
    """Of all that a module's row depends on."""
    same = sorted((*key, why) for key, why in EQUIVALENT.items() if key[0] == path)
    digest = sha256(json.dumps(same).encode())
    for name in (path, "tests/train/equations.py", "tests/mutants/operators.py", *TESTS[path]):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def totals(rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Sums over the modules."""
    counts = {name: sum(row[name] for row in rows.values()) for name in ("mutants", "killed")}
    lists = ("equivalent", "alive")
    return counts | {name: sum(len(row[name]) for row in rows.values()) for name in lists}


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
        if known.get(path, {}).get("sha256") != fingerprint(path):
            known[path] = examine(path)
            rows = {name: known[name] for name in TESTS if name in known}
            if args.json:
                record = {"machine": describe(), "totals": totals(rows), "modules": rows}
                replace_file(args.json, f"{json.dumps(record, indent=1)}\n".encode())
    found = totals({path: known[path] for path in args.only})
    print(", ".join(f"{count} {name}" for name, count in found.items()))
    return int(found["alive"] > 0)


if __name__ == "__main__":
    sys.exit(main())
