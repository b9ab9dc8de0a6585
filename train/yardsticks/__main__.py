"""`python -m train.yardsticks BUNDLE_OR_CHECKPOINT`: where a model stands.

Asks it questions that never change (docs/yardsticks.md) and prints every figure with its number of
questions and its 95% interval; with --against, beside another model's and the difference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

import torch

from sdk.errors import GroundingError
from train.build import DEFAULT_VOCAB
from train.checkpoint import CheckpointError
from train.data.readers import data_root
from train.data.samples import DataError
from train.evaluate import write_json
from train.yardsticks.answers import Answers
from train.yardsticks.models import Model, load
from train.yardsticks.report import Sections, as_json, table
from train.yardsticks.sections import Lists, figures, read_lists


def measure(model: Model, lists: Lists) -> Sections:
    """Ask a model everything."""
    answers = Answers(model.predict, lists.values(), model.name)
    return figures(answers, lists, model.threshold)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.yardsticks", description=__doc__)
    parser.add_argument("model", type=Path, help="a bundle's folder or a .safetensors checkpoint")
    parser.add_argument("--against", type=Path, help="another one, to compare with")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--limit", type=int, default=0, help="photos of each list, 0 = all")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads of a checkpoint; 0 = all"
    )
    parser.add_argument("--vocab", type=Path, default=DEFAULT_VOCAB, help="of a checkpoint")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        lists = read_lists(data_root(args.data), args.limit)
        own = measure(load(args.model, args.vocab), lists)
        against = measure(load(args.against, args.vocab), lists) if args.against else None
        report = as_json(own, against, {})
        print(table(report))
        if args.json:
            write_json(args.json, report)
    except (CheckpointError, DataError, GroundingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
