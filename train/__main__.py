"""`python -m train`: train a side network on frozen encoders, or as a paper does (--recipe)."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import itertools
import os
import sys
from pathlib import Path
from typing import Any, get_type_hints

from train import needs_torch  # noqa: F401

# isort: split

import torch

from train.build import DEFAULT_VOCAB
from train.commands import report_errors
from train.config import TrainConfig
from train.data.readers import data_root, read_expressions
from train.data.training import training_photos
from train.interrupt import Interrupted
from train.length import fitted, notes
from train.plots import plot_run
from train.recipes import RECIPES
from train.trainer import Trainer


def build_parser() -> argparse.ArgumentParser:
    """Every field of `TrainConfig` is a flag, whose docstring is the help; absent if not given."""
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--out", type=Path, default=Path("runs/m2ist"), help="folder of the run")
    parser.add_argument("--vocab", type=Path, default=DEFAULT_VOCAB, help="BERT vocabulary")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = all cores")
    parser.add_argument(
        "--recipe",
        choices=sorted(RECIPES),
        help="a paper's settings in place of the defaults below, see docs/methods.md; flags win",
    )
    hints = get_type_hints(TrainConfig)
    helps = field_docs()
    for field in dataclasses.fields(TrainConfig):
        options: dict[str, Any] = {"type": hints[field.name]}
        if hints[field.name] is bool:
            options = {"action": argparse.BooleanOptionalAction}
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{helps[field.name]} (default: {field.default})".replace("%", "%%")
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **options)
    return parser


def field_docs() -> dict[str, str]:
    """The string under each field of `TrainConfig`."""
    body = ast.parse(inspect.getsource(TrainConfig)).body[0].body  # type: ignore[attr-defined]
    docs = {}
    for field, doc in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr):
            docs[field.target.id] = doc.value.value  # type: ignore[union-attr, attr-defined]
    return docs


@report_errors(ValueError, OSError)
def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 2 or, where a signal ended the run, 130 with one line of what to do."""
    given = vars(build_parser().parse_args(argv))
    data, out, vocab, threads = (given.pop(k) for k in ("data", "out", "vocab", "threads"))
    recipe = RECIPES.get(given.pop("recipe"), {})
    if threads:
        torch.set_num_threads(threads)
    config = TrainConfig(**(recipe | given))
    root = data_root(data)
    photos = training_photos(
        root,
        limit=config.limit,
        detection_photos=config.detection_photos,
        pseudo_labels=config.pseudo_labels,
    )
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # as torchrun says
    config = fitted(config, recipe.keys() | given.keys(), photos, processes)
    if os.environ.get("RANK", "0") == "0":
        print(*notes(config, photos, processes), sep="\n", flush=True)
    trainer = Trainer(config, photos, read_expressions(root, "val"), vocab, out)
    trained = sum(p.numel() for p in trainer.params.values())
    total = sum(p.numel() for p in trainer.model.parameters())
    say = trainer.accelerator.print  # the first process alone
    say(f"{config.method}: {trained:,} of {total:,} parameters train ({trained / total:.2%})")
    try:
        accuracy = trainer.fit()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 130
    say(f"Acc@0.5 {accuracy:.2f} on single-box validation phrases")
    if trainer.accelerator.is_main_process:
        say(f"checkpoint {trainer.checkpoint}, curves {plot_run(out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
