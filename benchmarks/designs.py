"""Designs that were trained for equal time: their curves, and what each costs a frame.

    python -m benchmarks.designs b=runs/b c=runs/c d=runs/d --steps 250 250 150 --minutes 13

Reads `loss.csv` of the runs up to the given steps, of which each of a run counts as equally long.
Times the vision graph of a frozen detector with and without a second neck in turn, and writes
`benchmarks/results/designs.json` and a plot. An encoder that trains has the graph of a frozen one.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.record import ROOT, percentiles, save
from export.graphs import export_graphs
from sdk.backends.ort import OrtSession
from sdk.bundle.contract import IMAGE, VISION
from train.build import build_model
from train.config import TrainConfig
from train.provenance import describe

CURVE = "named"
"""The loss that all designs have in common: finding what the noun names."""
FRAMES = 60


def curve(run: Path, last_step: int, minutes: float) -> list[dict[str, float]]:
    """Step, minutes of training and loss of a run, every 20 steps."""
    with (run / "loss.csv").open(newline="") as file:
        rows = [(int(row["step"]), float(row[CURVE])) for row in csv.DictReader(file)]
    return [
        {"step": step, "minutes": round(minutes * step / last_step, 2), "loss": round(loss, 3)}
        for step, loss in rows
        if step <= last_step
    ]


def frame_costs(threads: int | None) -> dict[str, dict[str, float]]:
    """Milliseconds of the vision graph, with and without a second neck, in turn."""
    sessions: dict[str, OrtSession] = {}
    with TemporaryDirectory() as folder:
        for name, second_neck in (("one neck", False), ("second neck", True)):
            config = TrainConfig(second_neck=second_neck)
            place = Path(folder) / name
            place.mkdir()
            files = export_graphs(build_model(config), config, place)
            sessions[name] = OrtSession(files[VISION.name], "cpu", threads)
        taken: dict[str, list[float]] = {name: [] for name in sessions}
        image = np.random.default_rng(0).normal(size=(1, 3, 320, 320)).astype(np.float32)
        for _ in range(FRAMES):
            for name, session in sessions.items():
                start = time.perf_counter()
                session.run({IMAGE: image})
                taken[name].append(1000 * (time.perf_counter() - start))
    return {name: percentiles(times[5:], (50, 95)) for name, times in taken.items()}


def draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Loss over minutes, a line a design."""
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot([p["minutes"] for p in points], [p["loss"] for p in points], label=name)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("loss of finding what is named")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the record and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER", help="a design and its run")
    parser.add_argument("--steps", type=int, nargs="+", required=True, help="of each, in order")
    parser.add_argument("--minutes", type=float, required=True, help="that each trained")
    parser.add_argument("--threads", type=int, help="CPU threads of the timed graphs")
    args = parser.parse_args(argv)
    if len(args.steps) != len(args.runs) or not all("=" in run for run in args.runs):
        parser.error("expected NAME=FOLDER for each run, and as many --steps")
    runs = [tuple(run.split("=", 1)) for run in args.runs]
    curves = {
        name: curve(Path(folder), steps, args.minutes)
        for (name, folder), steps in zip(runs, args.steps, strict=True)
    }
    record: dict[str, Any] = {
        "machine": describe(),
        "minutes": args.minutes,
        "steps": dict(zip(curves, args.steps, strict=True)),
        "curves": curves,
        "vision_graph_ms": frame_costs(args.threads),
    }
    for name, ms in record["vision_graph_ms"].items():
        print(f"{name}: {ms['p50']:.1f} ms a frame, {ms['p95']:.1f} in one of twenty")
    draw(curves, ROOT / "docs" / "images" / "designs.png")
    save(ROOT / "benchmarks" / "results" / "designs.json", record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
