"""`python -m train.data.convert`: the field's referring-expression datasets as `train.jsonl` lines.

    mdetr    finetune_<dataset>_<split>.json of MDETR, COCO-style: one "image" an expression, xywh
    refer    refs(<by>).p and instances.json of the REFER/UNC originals, xywh
    transvg  <dataset>_<split>.pth of TransVG and its family: xywh, but ReferIt and Flickr30k xyxy

The last two are pickles, and a pickle is code: they are read without the power to run any, and
refused if they need more. --trust-pickle reads them in full. All RefCOCO pictures are of COCO's
train2014, so a COCO-trained encoder may have seen those of the val and test splits; RefCOCOg's
"google" training split shares pictures with the "umd" val and test splits: --exclude drops them.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from train import needs_torch  # noqa: F401

# isort: split

import torch

from sdk._internal.files import replace_file
from sdk.errors import FrameError
from sdk.inputs.frames import as_bgr
from train.data.samples import DataError, read_jsonl

XYXY_DATASETS = ("referit", "flickr")
"""TransVG's datasets whose boxes are corners already."""


class Line(NamedTuple):
    """One expression: file name of the picture, phrase, (x1, y1, x2, y2) in pixels, not clipped."""

    image: str
    phrase: str
    box: tuple[float, float, float, float]


def corners(xywh: Iterable[float]) -> tuple[float, float, float, float]:
    """Left, top, width, height -> xyxy."""
    x, y, width, height = map(float, xywh)
    return x, y, x + width, y + height


def from_mdetr(path: Path) -> Iterator[Line]:
    """Every expression of an MDETR file."""
    record = json.loads(path.read_text(encoding="utf-8"))
    boxes = {a["image_id"]: a["bbox"] for a in record["annotations"]}
    if len(boxes) < len(record["annotations"]):
        raise DataError(f"{path}: expected one box an expression, got several for some")
    for image in record["images"]:
        yield Line(image["file_name"], image["caption"], corners(boxes[image["id"]]))


def from_refer(path: Path, split: str, load: Callable[[Path], Any]) -> Iterator[Line]:
    """The expressions of one split of `refs(<by>).p`; `instances.json` lies beside it."""
    instances = json.loads((path.parent / "instances.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in instances["images"]}
    boxes = {a["id"]: a["bbox"] for a in instances["annotations"]}
    for ref in load(path):
        if ref["split"] == split:
            for sentence in ref["sentences"]:
                box = corners(boxes[ref["ann_id"]])
                yield Line(names[ref["image_id"]], sentence["sent"], box)


def from_transvg(path: Path, load: Callable[[Path], Any]) -> Iterator[Line]:
    """Every expression of a TransVG index; the dataset is the first part of the file's name."""
    are_corners = path.name.startswith(XYXY_DATASETS)
    for entry in load(path):
        image, phrase = entry[0], entry[2] if len(entry) == 3 else entry[3]
        numbers = [float(v) for v in (entry[1] if len(entry) == 3 else entry[2])]
        x1, y1, x2, y2 = numbers if are_corners else corners(numbers)
        yield Line(image, phrase, (x1, y1, x2, y2))


class _PlainUnpickler(pickle.Unpickler):
    """Lists, dicts, strings and numbers only: anything that has to be imported is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to import {module}.{name}")


def load_pickle(path: Path, *, trust: bool) -> Any:
    """A plain pickle, or one that torch saved; without `trust` neither can run code.

    Raises:
        DataError: it needs more than plain data.
    """
    try:
        if path.suffix == ".pth":
            return torch.load(path, weights_only=not trust)
        with path.open("rb") as file:
            return (pickle.Unpickler if trust else _PlainUnpickler)(file).load()
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: cannot be read as plain data ({reason}); if you trust where it comes from, "
            "give --trust-pickle"
        ) from error


def records(lines: Iterable[Line], images: Path, out: Path, exclude: set[str]) -> Iterator[str]:
    """JSON lines as `train.data.own` reads them: boxes clipped, paths relative to `out`'s folder.

    Raises:
        DataError: a picture is not there, or a box lies outside it.
    """
    sizes: dict[str, tuple[int, int]] = {}
    folder = out.parent.resolve()
    for line in lines:
        if Path(line.image).name in exclude:
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
        if x1 >= x2 or y1 >= y2:
            raise DataError(f"{line.image}: {line.phrase!r} has the box {line.box}, outside of it")
        image = os.path.relpath(picture, folder)
        yield json.dumps({"image": image, "phrase": line.phrase, "box": [x1, y1, x2, y2]})


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.data.convert", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("form", choices=("mdetr", "refer", "transvg"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--split", default="train", help="refer: which split of the file")
    parser.add_argument("--out", type=Path, required=True, help="for example data/train.jsonl")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="converted splits")
    parser.add_argument("--trust-pickle", action="store_true", help="let a pickle run its code")
    args = parser.parse_args(argv)

    def load(path: Path) -> Any:
        return load_pickle(path, trust=args.trust_pickle)

    try:
        forms = {
            "mdetr": lambda: from_mdetr(args.file),
            "refer": lambda: from_refer(args.file, args.split, load),
            "transvg": lambda: from_transvg(args.file, load),
        }
        exclude = {Path(r["image"]).name for path in args.exclude for _, r in read_jsonl(path)}
        lines = list(records(forms[args.form](), args.images, args.out, exclude))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(args.out, "".join(f"{line}\n" for line in lines).encode())
    except (KeyError, IndexError, TypeError, ValueError) as error:
        print(f"error: {args.file} is not of the form {args.form}: {error!r}", file=sys.stderr)
        return 2
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(lines):,} expressions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
