"""Latency of the shipped bundle through the SDK: `python benchmarks/latency.py`.

    new frame      preprocess + vision + fusion of a phrase that is already encoded
    known phrase   one more phrase on the same frame, encoded before: fusion alone
    new phrase     one more phrase on the same frame, never seen: tokenizer + text + fusion
    ten phrases    ten known phrases on a new frame, in one call

Every sample is one call of the public API on a 640x480 frame. Results go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe  # noqa: E402
from sdk import Grounder, GroundingError  # noqa: E402

PHRASES = [f"the {c} {n}" for c in ("red", "big") for n in ("cup", "dog", "car", "chair", "man")]


def measure(call: Callable[[], object], samples: int, warm_up: int) -> dict[str, float]:
    """Milliseconds: median, p90, p99 and the interquartile range of `samples` calls."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    q25, median, q75, p90, p99 = np.percentile(times, [25, 50, 75, 90, 99])
    return {"median": median, "iqr": q75 - q25, "p90": p90, "p99": p99}


def latencies(grounder: Grounder, samples: int, warm_up: int) -> dict[str, dict[str, float]]:
    """The four cases of the module's head line."""
    frames = np.random.default_rng(0).integers(0, 256, (8, 480, 640, 3), np.uint8)
    turn = count()

    def next_frame() -> np.ndarray:
        return frames[next(turn) % len(frames)]

    view = grounder.encode(frames[0])
    return {
        "new frame, known phrase": measure(
            lambda: grounder.ground(next_frame(), PHRASES[0]), samples, warm_up
        ),
        "same frame, known phrase": measure(lambda: view.ground(PHRASES[1]), samples, warm_up),
        "same frame, new phrase": measure(
            lambda: view.ground(f"the red cup number {next(turn)}"), samples, warm_up
        ),
        "new frame, ten known phrases": measure(
            lambda: grounder.ground(next_frame(), PHRASES), samples, warm_up
        ),
    }


def main() -> int:
    """Print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", default="fp32,int8", help="comma-separated")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/latency.json")
    args = parser.parse_args()
    machine = describe()
    print(f"{machine['cpu']}, {machine['cores']} cores, commit {machine['commit']}")
    results = {}
    try:
        for precision in args.precisions.split(","):
            grounder = Grounder.load(
                args.bundle, device=args.device, precision=precision, threads=args.threads
            )
            results[precision] = latencies(grounder, args.samples, args.warm_up)
            for name, row in results[precision].items():
                figures = "  ".join(f"{key} {value:6.2f}" for key, value in row.items())
                print(f"{precision:5s} {name:30s} ms: {figures}")
    except GroundingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args.json.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine, "samples": args.samples, "milliseconds": results}
    args.json.write_text(json.dumps(record, indent=1, default=float) + "\n")
    print(f"written to {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
