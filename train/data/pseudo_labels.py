"""`python -m train.data.pseudo_labels`: what a COCO detector finds in photos that nobody labelled.

Writes one JSON line a photo: boxes of the 80 classes with their probability, and for every class
the highest probability anywhere. Training takes boxes from SURE on as labels, unless the photo has
a doubtful box of the same class, and classes that stay below ABSENT as absent.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train import needs_torch  # noqa: F401

# isort: split

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from sdk._internal.files import replace_file
from sdk.geometry.boxes import cxcywh_to_xyxy
from sdk.geometry.decode import suppress
from sdk.inputs.frames import as_bgr
from train.build import preprocess_for
from train.commands import report_errors
from train.config import TrainConfig
from train.data.coco import COCO_CLASSES
from train.data.readers import data_root
from train.data.samples import Instance, read_jsonl
from train.encoders.picodet import from_picodet, neck_maps
from train.fusion.detections import as_boxes

SURE, DOUBTFUL, ABSENT = 0.45, 0.3, 0.08
"""Probability from which a box is a label, from which it is doubtful, and below which a class is
absent."""
LEAST = 0.2
"""Boxes below this probability are not written."""
MOST = 30
"""Most boxes of a class in a photo."""
FOLDERS = ("flickr30k_entities/images", "detection/images", "unlabelled/images")


class PseudoLabels:
    """What a file of this command says of each photo, by its path below the data folder."""

    def __init__(self, root: Path, path: Path) -> None:
        self._root = root
        self._records = {record["image"]: record for _, record in read_jsonl(path)}

    def of(self, image: Path) -> tuple[tuple[Instance, ...], frozenset[str]]:
        """Instances, and the classes that are decided: all of their boxes are sure, or absent.

        Nothing for a photo that is not in the file.
        """
        record = self._records.get(image.relative_to(self._root).as_posix())
        if record is None:
            return (), frozenset()
        boxes = [(COCO_CLASSES[n], p, tuple(box)) for n, p, box in record["boxes"] if p >= DOUBTFUL]
        doubtful = {label for label, p, _ in boxes if p < SURE}
        found = {label for label, _, _ in boxes} - doubtful
        absent = {c for c, p in zip(COCO_CLASSES, record["highest"], strict=True) if p < ABSENT}
        instances = tuple(Instance(label, box) for label, _, box in boxes if label in found)
        return instances, frozenset(found | absent)


class Labeller:
    """A PicoDet-S; with `mirror` its answers to a photo and to the mirror image are averaged.

    Raises:
        ValueError: not a PicoDet-S in ONNX form.
    """

    def __init__(self, path: Path, size: int, *, mirror: bool) -> None:
        self._mirror = mirror
        encoder, head = from_picodet(path)
        self._encoder = encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._head = head.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._preprocess = preprocess_for(TrainConfig(image_size=size))

    @torch.no_grad()
    def __call__(self, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """For each photo its boxes [class, probability, xyxy fractions], and highest by class."""
        images = np.concatenate([self._preprocess.tensor(as_bgr(path)) for path in paths])
        if self._mirror:
            images = np.concatenate([images, images[..., ::-1]])
        tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        maps = neck_maps(self._encoder, tensor)
        finest = maps[0].shape[-1]
        boxes, probabilities = [], []
        for level, (logits, sides) in enumerate(self._head.predict_levels(maps)):
            likely = logits.sigmoid()
            if self._mirror:
                likely, sides = mean_of_mirrored(likely, sides)
            boxes.append(as_boxes(sides, 2**level / finest).flatten(2))
            probabilities.append(likely.flatten(2))
        xyxy = cxcywh_to_xyxy(torch.cat(boxes, 2).transpose(1, 2).numpy()).clip(0, 1)
        for box, probability in zip(xyxy, torch.cat(probabilities, 2).numpy(), strict=True):
            yield as_record(box, probability)


def mean_of_mirrored(likely: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (2B, C, h, w) of B images and then of their mirror images -> (B, C, h, w) of both.

    `sides` are left, top, right and bottom.
    """
    plain, mirror = likely.chunk(2)
    own, swapped = sides.chunk(2)
    return (plain + mirror.flip(3)) / 2, (own + swapped.flip(3)[:, [2, 1, 0, 3]]) / 2


def as_record(boxes: NDArray[np.float32], probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """(M, 4) xyxy and (classes, M) probabilities -> the boxes of each class, highest by class."""
    found = []
    for number, row in enumerate(probabilities):
        likely = np.flatnonzero(row >= LEAST)
        for index in likely[suppress(boxes[likely], row[likely], MOST)]:
            found.append([number, round(float(row[index]), 3), boxes[index].round(4).tolist()])
    highest = probabilities.max(1).round(3).tolist()
    return {"boxes": found, "highest": highest}


@report_errors(ValueError, OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m train.data.pseudo_labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("detector", type=Path, help="a PicoDet-S .onnx")
    parser.add_argument("--size", type=int, default=416, help="side of its input in pixels")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="the .jsonl to write")
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="average the answers to a photo and to its mirror image",
    )
    parser.add_argument("--batch-photos", type=int, default=8, help="photos in a batch")
    args = parser.parse_args(argv)
    root = data_root(args.data)
    label = Labeller(args.detector, args.size, mirror=args.mirror)
    photos = [path for folder in FOLDERS for path in sorted((root / folder).glob("*"))]
    lines = []
    starts = range(0, len(photos), args.batch_photos)
    for start in tqdm(starts, desc="labelling", unit="batch"):
        batch = photos[start : start + args.batch_photos]
        for path, record in zip(batch, label(batch), strict=True):
            image = path.relative_to(root).as_posix()
            lines.append(json.dumps({"image": image, **record}))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(args.out, "".join(f"{line}\n" for line in lines).encode())
    print(f"{args.out}: {len(lines):,} photos")


if __name__ == "__main__":
    sys.exit(main())
