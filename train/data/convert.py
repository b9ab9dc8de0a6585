"""`python -m train.data.convert`: the field's referring-expression datasets as `train.jsonl` lines.

    mdetr    finetune_<dataset>_<split>.json of MDETR, COCO-style: one "image" an expression, xywh;
             or its final_flickr_*_<split>.json: one "image" a caption, boxes of its phrases
    refer    refs(<by>).p and instances.json of the REFER/UNC originals, xywh
    transvg  <dataset>_<split>.pth of TransVG and its family: xywh, but ReferIt and Flickr30k xyxy
    flickr   Flickr30k Entities as published: a folder with Annotations/, Sentences/, <split>.txt

Two forms are pickles, and a pickle is code: they are read without the power to run any (lists,
numbers, texts and NumPy arrays), and refused if they need more. --trust-pickle reads them in full.
All RefCOCO pictures are of COCO's train2014, so a COCO-trained encoder may have seen those of the
val and test splits; RefCOCOg's "google" training split shares pictures with the "umd" val and test
splits: --exclude drops them.

A phrase with several boxes, as Flickr30k has them, gets the box around all of them. Lines that name
nothing or have no box inside the picture are left out, counted and named.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

from sdk._internal.files import replace_file
from sdk.errors import FrameError, PhraseError
from sdk.inputs.frames import as_bgr
from sdk.inputs.phrases import as_phrases
from train.commands import report_errors
from train.data.flickr import from_flickr
from train.data.formats import Line, from_mdetr, from_refer, from_transvg
from train.data.plain_pickle import load_pickle
from train.data.samples import DataError, read_jsonl

EXAMPLES = 3
"""Lines that are named of those left out for one reason."""


class Skipped:
    """Lines that are left out: how many for which reason, and the first of them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, line: Line) -> None:
        self.counts[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(f"{line.image} {line.phrase!r} {[round(v, 1) for v in line.box]}")

    def __str__(self) -> str:
        reasons = (
            f"{count:,} {reason} ({'; '.join(self.examples[reason])}"
            f"{', ...' if count > EXAMPLES else ''})"
            for reason, count in self.counts.items()
        )
        return f"left out {self.counts.total():,}: {', '.join(reasons)}"


def records(
    lines: Iterable[Line], images: Path, out: Path, exclude: set[str], skipped: Skipped
) -> Iterator[str]:
    """JSON lines as `train.data.own` reads them: boxes clipped, paths relative to `out`'s folder.

    Raises:
        DataError: a picture is not there.
    """
    sizes: dict[str, tuple[int, int]] = {}
    folder = out.parent.resolve()
    for line in lines:
        if Path(line.image).name in exclude:
            continue
        try:
            (phrase,) = as_phrases([line.phrase])
        except PhraseError:
            skipped.add("without a word", line)
            continue
        picture = images.resolve() / line.image
        if line.image not in sizes:
            try:
                height, width = as_bgr(picture).shape[:2]
            except FrameError as error:
                raise DataError(f"--images: {error}") from error
            sizes[line.image] = (width, height)
        width, height = sizes[line.image]
        x1, x2 = (min(max(x, 0.0), width) for x in line.box[::2])
        y1, y2 = (min(max(y, 0.0), height) for y in line.box[1::2])
        if line.box[0] >= line.box[2] or line.box[1] >= line.box[3]:
            skipped.add("with a box without area", line)
        elif not (x1 < x2 and y1 < y2):
            skipped.add("with a box outside the picture", line)
        else:
            image, box = os.path.relpath(picture, folder), [x1, y1, x2, y2]
            yield json.dumps({"image": image, "phrase": phrase, "box": box, "kind": line.kind})


@report_errors(OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.data.convert", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("form", choices=("mdetr", "refer", "transvg", "flickr"))
    parser.add_argument("file", type=Path, help="the index; for flickr its folder")
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--split", default="train", help="refer, flickr: which split of it")
    parser.add_argument("--out", type=Path, required=True, help="for example data/train.jsonl")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="converted splits")
    parser.add_argument("--trust-pickle", action="store_true", help="let a pickle run its code")
    args = parser.parse_args(argv)
    skipped = Skipped()
    try:
        lines: Iterable[Line]
        if args.form == "mdetr":
            lines = from_mdetr(args.file)
        elif args.form == "flickr":
            lines = from_flickr(args.file, args.split)
        else:
            content = load_pickle(args.file, trust=args.trust_pickle)
            lines = (
                from_transvg(args.file, content)
                if args.form == "transvg"
                else from_refer(args.file, content, args.split)
            )
        exclude = {Path(r["image"]).name for path in args.exclude for _, r in read_jsonl(path)}
        kept = list(records(lines, args.images, args.out, exclude, skipped))
        if not kept:
            why = f"; {skipped}" if skipped.counts else ""
            raise DataError(f"{args.file}: expected at least one expression, none is left{why}")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(args.out, "".join(f"{line}\n" for line in kept).encode())
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{args.file} is not of the form {args.form}: {error!r}") from error
    if skipped.counts:
        print(skipped, file=sys.stderr)
    print(f"{args.out}: {len(kept):,} expressions")


if __name__ == "__main__":
    sys.exit(main())
