"""`python -m train.data`: check a data folder and look at it before training on it.

Reads every line of both splits, which names the first bad one, counts what is there, and with
--show draws random photos with their phrases and boxes.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from train.commands import report_errors
from train.data.expressions import expressions_for
from train.data.readers import data_root, read_detection, read_expressions
from train.data.samples import Photo
from train.data.sheets import Tile, write_sheets


def describe(photos: Sequence[Photo]) -> str:
    """Counts of one split."""
    kinds = Counter(e.kind for p in photos for e in p.expressions if e.boxes)
    absent = sum(not e.boxes for p in photos for e in p.expressions)
    named = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
    return f"{len(photos):,} photos, {kinds.total():,} phrases ({named}), {absent:,} absent"


def tiles(photos: Sequence[Photo], rng: random.Random) -> list[Tile]:
    """One random expression of each photo that has or gives one."""
    drawn = []
    for photo in photos:
        options = list(photo.expressions) or expressions_for(photo, rng)
        if options:
            chosen = rng.choice(options)
            drawn.append(Tile(photo, (chosen.text, chosen.kind), chosen.boxes))
    return drawn


@report_errors()
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line that says what is wrong where."""
    parser = argparse.ArgumentParser(prog="python -m train.data", description=__doc__)
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="draw N random photos")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument("--out", type=Path, default=Path("samples"), help="folder of the pictures")
    args = parser.parse_args(argv)
    root = data_root(args.data)
    splits = {split: read_expressions(root, split) for split in ("train", "val")}
    labelled = {split: read_detection(root, split) for split in splits}
    for split, photos in splits.items():
        instances = sum(len(p.instances) for p in labelled[split])
        print(f"{split}: {describe(photos)}")
        print(f"{split}: {len(labelled[split]):,} labelled photos, {instances:,} boxes")
    rng = random.Random(args.seed)
    photos = splits["train"] + labelled["train"]
    chosen = rng.sample(photos, min(args.show, len(photos)))
    for path in write_sheets(tiles(chosen, rng), args.out, "samples"):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
