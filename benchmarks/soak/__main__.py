"""A long run in which everything changes: `python -m benchmarks.soak`, or `make soak`.

Here and not in `tests/`, because it measures: the figures go to benchmarks/results/soak.json and
docs/images/soak.png. One process has a stream and a server, each with a grounder of its own. Its
camera is lost and found, its phrases are changed, its precision is switched, and clients ask the
server meanwhile; camera and clients are another process. Most frames go to the tiny bundle of the
tests, whose graphs take next to no time, so that all else is repeated often; some thousands go to
the shipped one, whose memory is what counts. For each switch the tiny one is loaded anew; the
shipped one is loaded once for each precision, since sessions that come and go move its memory by
more megabytes than are looked for here.

Exits with 1 where memory, threads or file handles grow after the warm-up, or a request is lost.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, save
from benchmarks.server import load_average
from benchmarks.soak.beside import run_beside
from benchmarks.soak.figures import figures, flaws, line, plot
from benchmarks.soak.stream import Changes, Run
from sdk.bundle import DEFAULT_BUNDLE
from tests.tiny_bundle import write_tiny_bundle
from train.provenance import describe


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    add = parser.add_argument
    add("--frames", type=int, default=96_000, help="for the tiny bundle; 0 leaves it out")
    add("--fps", type=float, default=400, help="of its camera (default: %(default)s)")
    add("--default-frames", type=int, default=4_000, help="for the shipped bundle; 0: the same")
    add("--default-fps", type=float, default=25, help="of its camera")
    add("--losses", type=int, default=50, help="of the camera, for each bundle")
    add("--phrases", type=int, default=1000, help="changes, for each bundle")
    add("--precisions", type=int, default=100, help="switches, for each bundle")
    add("--clients", type=int, default=16, help="of the server, at a time")
    add("--requests", type=int, default=2000, help="of all clients, for each bundle")
    add("--json", type=Path, default=ROOT / "benchmarks/results/soak.json")
    add("--plot", type=Path, default=ROOT / "docs/images/soak.png")
    args = parser.parse_args()
    changes = Changes(args.losses, args.phrases, args.precisions)
    with tempfile.TemporaryDirectory() as folder:
        tiny = write_tiny_bundle(Path(folder) / "bundle")
        runs = {
            "tiny": Run(str(tiny), args.frames, args.fps, (96, 72), changes, reload=True),
            "default": Run(
                str(DEFAULT_BUNDLE),
                args.default_frames,
                args.default_fps,
                (640, 480),
                changes,
                reload=False,
            ),
        }
        bundles: dict[str, Any] = {}
        if args.json.exists():  # of a bundle that is left out now
            bundles = json.loads(args.json.read_text(encoding="utf-8"))["bundles"]
        for name, run in runs.items():
            busy = load_average()
            if run.frames:
                soaked, http, lost = run_beside(run, args.clients, args.requests)
                bundles[name] = {
                    "machine": describe(),
                    "load_average_before": busy,
                    "settings": {**asdict(run), "bundle": name, "clients": args.clients},
                    **figures(soaked, http, lost),
                }
                print(line(name, bundles[name]), flush=True)
    wrong = flaws(bundles)
    save(args.json, {"bundles": bundles, "wrong": wrong})
    plot(bundles, args.plot)
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
