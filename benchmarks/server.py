"""Load on the server of the shipped bundle, over loopback: `python -m benchmarks.server`.

A server process, and 1, 4 and 16 clients that each ask one phrase, wait for the answer and ask
again: all about one frame, or each time about another. Clients and server share the machine's
cores, so that much of a latency under load is waiting for them. Numbers of requests and seconds are
bounded. Latencies, throughput, machine and commit go to benchmarks/results/server.json.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.record import ROOT, percentiles, save
from sdk._internal.opencv import cv2
from sdk.application import report_errors
from sdk.errors import GroundingError
from sdk.inputs.frames import as_bgr
from train.provenance import describe

CLIENTS = (1, 4, 16)
PHRASES = ("a woman", "an orange jacket", "a flag", "a helmet", "a red bus", "a dog", "the face")
FRAME_WH = (640, 480)
FRAMES = 64  # far more than the server keeps encoded
WARM_UP = 20
LOST = 0  # in place of a status


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="default: the shipped")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--requests", type=int, default=400, help="of each load, at most")
    parser.add_argument("--seconds", type=float, default=20, help="for each load, at most")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/server.json")
    args = parser.parse_args()
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Print a line per load, write the JSON. Raises GroundingError."""
    frames = different_frames()
    record: dict[str, Any] = {
        "machine": describe(),
        "load_average_before": load_average(),
        "frame_wh": FRAME_WH,
        "loads": {},
    }
    options = ["--device", args.device, *(["--bundle", args.bundle] if args.bundle else [])]
    with serving(options) as address:
        record["server"] = httpx.get(f"{address}/healthz").json()
        for name, pictures in (("one frame", frames[:1]), ("different frames", frames)):
            load(address, pictures, 1, WARM_UP, args.seconds)
            for clients in CLIENTS:
                result = load(address, pictures, clients, args.requests, args.seconds)
                record["loads"][f"{name}, {clients} clients"] = result
                print(line(name, clients, result), flush=True)
    save(args.json, record)


def load_average() -> float | None:
    """Processes that ran or waited for a core in the last minute; None where nobody counts them."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def different_frames(size_wh: tuple[int, int] = FRAME_WH) -> list[bytes]:
    """JPEGs of one photo, each shifted a little further: no two have the same bytes."""
    photo = cv2.resize(as_bgr(ROOT / "apps/assets/astronaut.jpg"), size_wh)
    shifted = (np.roll(photo, 4 * step, axis=1) for step in range(FRAMES))
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in shifted]


@contextmanager
def serving(options: Sequence[str]) -> Iterator[str]:
    """The address of a server in a process of its own. Raises GroundingError."""
    command = [sys.executable, str(ROOT / "apps/web_demo.py"), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = process.stderr.readline()
    # Its log must not fill the pipe.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        found = re.search(r"serving on (\S+),", first)
        if not found:
            raise GroundingError(f"the server does not start: {first.strip()}")
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)


def load(
    address: str, pictures: Sequence[bytes], clients: int, requests: int, seconds: float
) -> dict[str, Any]:
    """What `clients` see that ask `requests` questions in all, or until the seconds are over."""
    numbers, stop_at = count(), time.perf_counter() + seconds

    def ask_on_and_on(_: int) -> list[tuple[int, float, int]]:
        answers = []
        with httpx.Client(timeout=30) as client:
            while (number := next(numbers)) < requests and time.perf_counter() < stop_at:
                started = time.perf_counter()
                try:
                    response = client.post(
                        f"{address}/v1/ground",
                        files={"image": ("frame.jpg", pictures[number % len(pictures)])},
                        data={"phrases": PHRASES[number % len(PHRASES)]},
                    )
                except httpx.TransportError:  # cut off, or no answer in time
                    answers.append((LOST, 0.0, 0))
                    continue
                took = time.perf_counter() - started
                batch = response.json()["batch"] if response.status_code == 200 else 0
                answers.append((response.status_code, took, batch))
        return answers

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [one for some in pool.map(ask_on_and_on, range(clients)) for one in some]
    took = time.perf_counter() - began
    good = [(1000 * latency, batch) for status, latency, batch in answers if status == 200]
    if not good:
        raise GroundingError(
            f"expected answers, got statuses {sorted({one[0] for one in answers})}"
        )
    latencies, batches = zip(*good, strict=True)
    return {
        "requests": len(answers),
        "refused": len(answers) - len(good),  # or lost
        "seconds": took,
        "per_second": len(good) / took,
        "milliseconds": percentiles(latencies, (50, 95, 99, 100)),
        "mean_batch": float(np.mean(batches)),
    }


def line(name: str, clients: int, result: dict[str, Any]) -> str:
    """As "one frame          4 clients  mean   12.9  p50   12.1  ... ms   310.2 per second"."""
    shown = "".join(f"  {key} {value:6.1f}" for key, value in result["milliseconds"].items())
    rate, refused = result["per_second"], result["refused"]
    end = f", {refused} refused" if refused else ""
    return f"{name:17s}{clients:3d} clients{shown} ms {rate:7.1f} per second{end}"


if __name__ == "__main__":
    sys.exit(main())
