"""What the trainer's settings for a processor bring: seconds of a training step, median.

    python -m benchmarks.training_step     # GROUNDER_DATA set; quick: --steps 5 --batch-photos 4

The same batches go through trainers that differ in fast math (bfloat16 products) or in memory
format, in turn, so that other work on the machine meets all of them. `seconds` is what passes,
`processor_seconds` what all cores together compute, which other work changes less. A step is
forward, backward and optimiser; its batch is prepared before.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.record import ROOT, save
from train.build import DEFAULT_VOCAB
from train.config import TrainConfig
from train.data.dataset import Batch
from train.data.readers import data_root
from train.data.samples import Photo
from train.data.training import training_photos
from train.fast_math import use_fast_math
from train.provenance import describe
from train.trainer import Trainer

WARM_UP = 1
"""Steps before the timed ones."""
FIRST, LAST = torch.contiguous_format, torch.channels_last
VARIANTS: dict[bool, dict[str, tuple[str, torch.memory_format]]] = {
    True: {
        "fast math off, channels first": ("off", FIRST),
        "fast math off, channels last": ("off", LAST),
        "fast math on, channels last": ("on", LAST),
        "fast math auto, channels last": ("auto", LAST),
    },
    False: {
        "fast math auto, channels first": ("auto", FIRST),
        "fast math auto, channels last": ("auto", LAST),
    },
}
"""By whether the vision encoder trains: name -> fast math and memory format."""


def measure(trainers: Mapping[str, Trainer], batches: Sequence[Batch]) -> dict[str, dict[str, Any]]:
    """Figures of each trainer by its name; `loss` is that of the last batch."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in trainers}
    loss = {}
    order = list(trainers.items())
    for batch in batches:
        order.reverse()  # no variant always comes after the same other one
        for name, trainer in order:
            use_fast_math(trainer.fast_math)
            wall, processor = time.perf_counter(), time.process_time()
            loss[name] = trainer.train_step(batch)["total"]
            seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    figures = {}
    for name, trainer in trainers.items():
        wall, processor = map(statistics.median, zip(*seconds[name][WARM_UP:], strict=True))
        figures[name] = {
            "seconds": round(wall, 3),
            "processor_seconds": round(processor, 3),
            "fast_math": trainer.fast_math,
            "loss": round(loss[name], 4),
        }
    return figures


def trainers_for(config: TrainConfig, photos: Sequence[Photo], out: Path) -> dict[str, Trainer]:
    """A trainer for each variant."""
    trainers = {}
    for index, (name, (fast_math, memory_format)) in enumerate(
        VARIANTS[config.unfreeze_vision].items()
    ):
        settings = dataclasses.replace(config, fast_math=fast_math)
        trainer = Trainer(settings, photos, (), DEFAULT_VOCAB, out / str(index))
        trainer.model.to(memory_format=memory_format)
        trainers[name] = trainer
    return trainers


def main() -> int:
    """Measure an encoder that trains and a frozen one, whose photos are augmented."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each variant")
    parser.add_argument("--batch-photos", type=int, default=16, help="photos of a step")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = all cores")
    parser.add_argument("--note", default="", help="what else ran, for the record")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks" / "results" / "training_step.json"
    )
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    root = data_root(args.data)
    photos = training_photos(root, limit=200, detection_photos=200)
    config = TrainConfig(
        augment=True, limit=200, detection_photos=200, batch_photos=args.batch_photos
    )
    record: dict[str, Any] = {
        "machine": describe() | {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "steps": args.steps,
        "batch_photos": config.batch_photos,
        "note": args.note,
    }
    for encoder, trains in (("trained encoder", True), ("frozen encoder", False)):
        settings = dataclasses.replace(config, unfreeze_vision=trains)
        with TemporaryDirectory() as folder:
            trainers = trainers_for(settings, photos, Path(folder))
            source = next(iter(trainers.values())).batches
            groups = source.order(0, config.batch_photos)[: WARM_UP + args.steps]
            batches = [source.batch(group, 0) for group in groups]
            record[encoder] = measure(trainers, batches)
        for name, figures in record[encoder].items():
            print(f"{encoder}, {name}: {figures['seconds']:.2f} s a step", flush=True)
    save(args.json, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
