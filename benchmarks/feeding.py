"""How fast batches are made, and what memory a long run holds: `python -m benchmarks.feeding`.

Images a second with batches made in the training process and by workers ahead of it, photos read,
joined, mirrored and degraded as `--augment` does; then the resident memory of real runs of 3,000
steps, two photos each: one that keeps phrases, up to 2 GB of them, and one that keeps nothing.
Figures go to benchmarks/results/feeding.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.record import ROOT, save
from train.build import preprocess_for
from train.config import TrainConfig
from train.data.dataset import BatchMaker
from train.data.loading import made_ahead
from train.data.readers import data_root
from train.data.training import training_photos
from train.provenance import describe

BATCH_PHOTOS, BATCHES = 16, 40
WORKERS = (0, 1, 2)
STEPS, STEP_PHOTOS = 3000, 2
EVERY_S = 10.0
"""Seconds between two looks at a run's memory."""


def batch_maker(root: Path) -> BatchMaker:
    """Of augmented training batches."""
    config = TrainConfig(augment=True, negatives=2, phrases_per_photo=7)
    photos = training_photos(root, detection_photos=99_999)
    return BatchMaker(preprocess_for(config), photos, config)


def images_per_second(maker: BatchMaker, workers: int) -> float:
    """After the first batch, which also starts the workers."""
    batches = maker.order(0, BATCH_PHOTOS)[: BATCHES + 1]
    made = iter(made_ahead(maker, batches, 0, workers))
    next(made)
    start = time.perf_counter()
    images = sum(len(batch.photos) for batch in made)
    return images / (time.perf_counter() - start)


def resident_mib(root: Path, *flags: str) -> dict[str, Any]:
    """Of a training run, looked at every EVERY_S seconds from its first step to its last."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "train", "--data", str(root), "--augment"]
        command += ["--steps", str(STEPS), "--batch-photos", str(STEP_PHOTOS)]
        command += ["--detection-photos", "99999", "--out", f"{folder}/run", *flags]
        found: list[int] = []
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            watched = psutil.Process(process.pid)
            losses = Path(folder) / "run" / "loss.csv"
            while process.poll() is None:
                time.sleep(EVERY_S)
                if losses.is_file() and process.poll() is None:
                    found.append(watched.memory_info().rss >> 20)
        if process.returncode:
            raise RuntimeError(f"the run ended with exit code {process.returncode}")
    quarter = len(found) // 4
    growth = round(median(found[-quarter:]) - median(found[quarter : 2 * quarter]))
    print(f"resident MiB {flags}: {found}; from the second quarter to the last {growth:+}")
    run = {"steps": STEPS, "photos": STEP_PHOTOS, "every_s": EVERY_S, "mib": found}
    return run | {"growth_mib": growth}


def main() -> int:
    """Print both and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/feeding.json")
    args = parser.parse_args()
    root = data_root(args.data)
    maker = batch_maker(root)
    speeds = {str(workers): round(images_per_second(maker, workers), 1) for workers in WORKERS}
    print(f"images a second by workers: {speeds}", flush=True)
    runs = {
        "run": resident_mib(root),
        "run_keeping_nothing": resident_mib(root, "--no-cache-features"),
    }
    save(args.json, {"machine": describe(), "images_per_second": speeds, **runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
