"""`python -m train.data.pseudo_labels`: what a COCO detector finds in photos that nobody labelled.

Writes one JSON line a photo: boxes of the 80 classes with their probability, and for every class
the highest probability anywhere. Training takes boxes from SURE on as labels, unless the photo has
a doubtful box of the same class, and classes that stay below ABSENT as absent.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from train import needs_torch  # noqa: F401

# isort: split

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sdk._internal.files import replace_file
from sdk.geometry.decode import suppress
from sdk.inputs.frames import as_bgr
from train.commands import report_errors
from train.data.coco import COCO_CLASSES
from train.data.readers import data_root
from train.data.samples import Instance, read_jsonl
from train.encoders.picodet import Detector

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
    parser.add_argument("--batch-photos", type=int, default=8, help="photos in a batch")
    args = parser.parse_args(argv)
    root = data_root(args.data)
    detector = Detector(args.detector, args.size)
    photos = [path for folder in FOLDERS for path in sorted((root / folder).glob("*"))]
    lines = []
    starts = range(0, len(photos), args.batch_photos)
    for start in tqdm(starts, desc="labelling", unit="batch"):
        batch = photos[start : start + args.batch_photos]
        found = detector([as_bgr(path) for path in batch], mirror=True)
        for path, boxes, probabilities in zip(batch, *found, strict=True):
            image = path.relative_to(root).as_posix()
            lines.append(json.dumps({"image": image, **as_record(boxes, probabilities)}))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(args.out, "".join(f"{line}\n" for line in lines).encode())
    print(f"{args.out}: {len(lines):,} photos")


if __name__ == "__main__":
    sys.exit(main())
