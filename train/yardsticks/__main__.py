"""`python -m train.yardsticks BUNDLE_OR_CHECKPOINT`: where a model stands.

Asks it questions that never change (docs/yardsticks.md) and prints every figure with its 95%
interval and its number of questions, beside two baselines; with --against also beside another
model's, with the interval of the difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

import torch

from train.build import DEFAULT_VOCAB
from train.commands import report_errors
from train.contact_sheet import write_mistakes
from train.data.readers import data_root
from train.provenance import describe, write_json
from train.yardsticks.answers import Lists, Outcomes, ask
from train.yardsticks.baselines import told_the_class, whole_image
from train.yardsticks.figure import right
from train.yardsticks.models import Model, load
from train.yardsticks.report import Sections, report, table
from train.yardsticks.sections import figures, judged, read_lists


def baselines(picodet: Sequence[Path], lists: Lists) -> dict[str, Sections]:
    """Name -> figures: the whole image's boxes, and detectors for the everyday questions."""
    whole = whole_image()
    sections = figures(ask(whole.predict, lists, whole.name), None)
    found: dict[str, Sections] = {
        whole.name: {
            section: {name: figure for name, figure in rows.items() if figure.measure is right}
            for section, rows in sections.items()
        }
    }
    for detector in map(told_the_class, picodet if "everyday" in lists else ()):
        told = {"everyday": lists["everyday"]}
        found[detector.name] = figures(ask(detector.predict, told, detector.name), None)
    return found


def draw(outcomes: Outcomes, folder: Path) -> None:
    """Contact sheets of the surest mistakes of every list."""
    for name, found in judged(outcomes).items():
        write_mistakes(found, folder, f"{name}-")
    print(f"mistakes drawn in {folder}")


@report_errors(ValueError, OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.yardsticks", description=__doc__)
    parser.add_argument("model", type=Path, help="a bundle's folder or a .safetensors checkpoint")
    parser.add_argument("--against", type=Path, help="another one, to compare with")
    parser.add_argument("--picodet", type=Path, nargs="+", default=(), help="detectors, .onnx")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--sheets", type=Path, help="draw the surest mistakes into this folder")
    parser.add_argument("--limit", type=int, default=0, help="photos of each list, 0 = all")
    parser.add_argument("--vocab", type=Path, default=DEFAULT_VOCAB, help="of a checkpoint")
    parser.add_argument("--threads", type=int, default=0, help="of a checkpoint; 0 = all cores")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    lists = read_lists(data_root(args.data), args.limit)
    models = [load(path, args.vocab) for path in (args.model, args.against) if path]
    others = baselines(args.picodet, lists)
    outcomes = [ask(model.predict, lists, model.name) for model in models]
    measured = [_figures(*pair) for pair in zip(models, outcomes, strict=True)]
    found = report(measured[0], measured[1] if args.against else None, others)
    print(table(found))
    if args.sheets:
        draw(outcomes[0], args.sheets)
    if args.json:
        names = dict(zip(("model", "against"), (model.name for model in models), strict=False))
        write_json(args.json, {"machine": describe(), **names, "sections": found})


def _figures(model: Model, outcomes: Outcomes) -> Sections:
    return figures(outcomes, model.threshold)


if __name__ == "__main__":
    sys.exit(main())
