"""`python -m train.papers.compare`: every method under the same data, schedule and head, as JSON.

Each (method, seed) is a run of its own in a process of its own, so that its peak memory is its own,
and a comparison that was interrupted continues where it was. Figures of a method: Acc@0.5 on the
validation photos (mean and spread over the seeds), trained parameters, bytes kept for the backward
pass, median time of a step, peak memory; each cost also as a ratio to full fine-tuning. Features
that a method keeps are made once, in the first run that needs them, and count in its peak.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdk._internal.files import replace_file
from train import needs_torch  # noqa: F401
from train.build import DEFAULT_VOCAB
from train.commands import in_own_process, report_errors
from train.config import TrainConfig
from train.data.readers import data_root, read_expressions
from train.data.samples import spread
from train.fusion import CANDIDATES, FUSIONS
from train.methods import DUAL_METHODS
from train.papers.cost import measure_trainer, peak_bytes
from train.provenance import describe, write_json
from train.trainer import Trainer

CASES = (*DUAL_METHODS, "m2ist:paper")
"""Methods, and after a colon a variant of one."""
SETTINGS = (
    *("limit", "val_limit", "epochs", "batch_photos", "phrases_per_photo"),
    *("fusion", "text", "image_size", "seeds"),
)
"""What of the command line the figures depend on."""
COSTS = ("trained", "saved_bytes", "step_ms", "peak_bytes")


def run(config: TrainConfig, root: Path, val_limit: int, vocab: Path, out: Path) -> None:
    """One run; writes `figures.json` into `out`."""
    photos = spread(read_expressions(root, "train"), config.limit)
    validation = spread(read_expressions(root, "val"), val_limit)
    trainer = Trainer(config, photos, validation, vocab, out)
    accuracy = trainer.fit()
    (photos, *_) = trainer.batches.order(0, config.batch_photos)
    batch = trainer.batches.batch(photos, 0)
    settings = config.to_dict() | {"val_limit": val_limit}
    figures = {"config": settings, "accuracy": accuracy, "peak_bytes": peak_bytes()}
    figures |= dataclasses.asdict(measure_trainer(trainer, batch))
    replace_file(out / "figures.json", json.dumps(figures).encode())


def figures_of(
    config: TrainConfig, root: Path, val_limit: int, vocab: Path, out: Path
) -> dict[str, Any]:
    """The figures of a run, from its file where it is already done.

    Raises:
        RuntimeError: the run was killed, or had other settings. What a run raises, too.
    """
    done = out / "figures.json"
    if not done.is_file():
        in_own_process(run, config, root, val_limit, vocab, out)
    figures: dict[str, Any] = json.loads(done.read_text())
    if figures["config"] != config.to_dict() | {"val_limit": val_limit}:
        raise RuntimeError(f"{out} was made with other settings; give another --out, or delete it")
    return figures


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Method -> mean and spread of its accuracy, its costs and their ratios to "full"."""
    methods: dict[str, Any] = {}
    for method, figures in runs.items():
        reached = [f["accuracy"] for f in figures]
        methods[method] = {
            "accuracy": statistics.mean(reached),
            "accuracy_spread": statistics.stdev(reached) if len(reached) > 1 else None,
            "seeds": len(reached),
            "total": figures[0]["total"],
            **{cost: statistics.median_low(f[cost] for f in figures) for cost in COSTS},
        }
    if "full" in methods:
        for row in methods.values():
            row["to_full"] = ratios_to(row, methods["full"])
    return methods


def ratios_to(row: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, float]:
    """Each cost as a fraction of full fine-tuning's."""
    return {cost: row[cost] / full[cost] for cost in COSTS}


@report_errors(RuntimeError, ValueError, OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.papers.compare", description=__doc__)
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--methods", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=1000, help="training photos; 0 = all")
    parser.add_argument("--val-limit", type=int, default=0, help="validation photos; 0 = all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--vision-weights", default="detector")
    parser.add_argument("--text", default="minilm")
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--batch-photos", type=int, default=16)
    parser.add_argument("--phrases-per-photo", type=int, default=4)
    parser.add_argument("--fusion", choices=FUSIONS, default=CANDIDATES)
    parser.add_argument("--vocab", type=Path, default=DEFAULT_VOCAB)
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args(argv)
    runs: dict[str, list[dict[str, Any]]] = {}
    root = data_root(args.data)
    for seed in args.seeds:
        for case in args.methods:
            method, _, variant = case.partition(":")
            config = TrainConfig(
                method=method,
                variant=variant or "released",
                fusion=args.fusion,
                second_neck=False,
                seed=seed,
                limit=args.limit,
                epochs=args.epochs,
                vision_weights=args.vision_weights,
                text=args.text,
                image_size=args.image_size,
                batch_photos=args.batch_photos,
                phrases_per_photo=args.phrases_per_photo,
            )
            out = args.out / f"{case.replace(':', '-')}-{seed}"
            figures = figures_of(config, root, args.val_limit, args.vocab, out)
            runs.setdefault(case, []).append(figures)
            print(f"{case}, seed {seed}: Acc@0.5 {figures['accuracy']:.1f}", flush=True)
    methods = summary(runs)
    for method, row in methods.items():
        print(
            f"{method:12s} Acc@0.5 {row['accuracy']:5.1f}  trained {row['trained']:>10,}  "
            f"kept for backward {row['saved_bytes'] / 1e6:8.1f} MB  step {row['step_ms']:7.0f} ms  "
            f"peak {row['peak_bytes'] / 1e9:5.2f} GB"
        )
    settings = {key: str(value) for key, value in vars(args).items() if key in SETTINGS}
    found = {"machine": describe(), "settings": settings, "methods": methods}
    for path in filter(None, (args.out / "compare.json", args.json)):
        write_json(path, found)
        print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
