"""Small things in the large frames of cameras: `python -m benchmarks.camera_frames`.

Walls of photos, 1280 x 720 and 1920 x 1080, three to eight photos across: one shows the only thing
of its class that is named, the others, of which it is known, show none. A second phrase names a
class that no photo of the wall shows. Photos are those held back from training that no yardstick
uses. Prints what `detail` finds, by the thing's width, and what it costs; figures go to
benchmarks/results/camera_frames.json, with `--sheet` some walls to look at into a picture.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.markdown import table
from benchmarks.record import ROOT, percentiles, save
from sdk import Grounder, Grounding, draw
from sdk.geometry.boxes import iou_xyxy
from sdk.outputs.drawing import write_image
from train.commands import report_errors
from train.data.readers import data_root, read_detection
from train.data.samples import Box, Photo
from train.provenance import describe
from train.yardsticks.lists import NAMED, frozen_questions

SIZES = ((1280, 720), (1920, 1080))
ACROSS = (3, 4, 6, 8)
WIDTHS = (0.0, 0.05, 0.1, 0.2, 1.0)
"""Edges of the groups that things are put in, by their width as a fraction of the frame's."""
DETAILS = (1, 2, 3, 4)
SEED = 1
"""Not 0, whose walls the second look of `sdk.detail` was chosen on."""
ON_SHEET = 8


@dataclass(frozen=True)
class Wall:
    """A frame, and what is asked about it."""

    frame: NDArray[np.uint8]
    phrase: str
    box: Box
    """Of what the phrase names, xyxy in pixels of the frame."""
    absent: str

    @property
    def width(self) -> float:
        """Of the box, as a fraction of the frame's."""
        return float(self.box[2] - self.box[0]) / self.frame.shape[1]


def walls(root: Path, count: int) -> Iterator[Wall]:
    """So many of them; the same for the same photos."""
    rng = random.Random(SEED)
    held_back = read_detection(root, "val")
    labelled = {photo.path: photo for photo in held_back}
    asked = frozen_questions(root, NAMED, yardstick_photos=False)
    questions = [(labelled[photo.path], e) for photo, group in asked for e in group]
    made = 0
    for photo, expression in rng.sample(questions, len(questions)):
        size_wh, across = SIZES[made % 2], ACROSS[made // 2 % len(ACROSS)]
        side = size_wh[0] // across
        others = [p for p in held_back if expression.label in p.known_labels - _labels(p)]
        number = across * (size_wh[1] // side)
        if made == count:
            break
        if len(others) < number:
            continue
        photos = rng.sample(others, number)
        at = rng.randrange(number)
        photos[at] = photo
        absent = frozenset.intersection(*(p.known_labels - _labels(p) for p in photos))
        if absent:
            frame, places = joined([p.path for p in photos], size_wh, (side, side))
            left, top, width, height = places[at]
            scale, offset = np.array(2 * [width, height]), np.array(2 * [left, top])
            box: Box = tuple(np.array(expression.boxes[0]) * scale + offset)
            made += 1
            yield Wall(frame, expression.text, box, f"the {rng.choice(sorted(absent))}")


def _labels(photo: Photo) -> frozenset[str]:
    return frozenset(instance.label for instance in photo.instances)


def joined(
    photos: Sequence[Path], size_wh: tuple[int, int], cell_wh: tuple[int, int]
) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """A wall of photos, each in the middle of a cell, and left, top, width and height of each."""
    across = size_wh[0] // cell_wh[0]
    frame = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    places = []
    for number, photo in enumerate(photos):
        image = cv2.imread(str(photo))
        scale = min(cell_wh[0] / image.shape[1], cell_wh[1] / image.shape[0])
        height, width = (round(s * scale) for s in image.shape[:2])
        left = number % across * cell_wh[0] + (cell_wh[0] - width) // 2
        top = number // across * cell_wh[1] + (cell_wh[1] - height) // 2
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        frame[top : top + height, left : left + width] = image
        places.append((left, top, width, height))
    return frame, places


@dataclass(frozen=True)
class Asked:
    """Answers to the walls' phrases, in their order, at one `detail`."""

    present: list[Grounding]
    absent: list[Grounding]
    milliseconds: list[float]
    """For both phrases, of the walls of 1920 x 1080."""


def ask(grounder: Grounder, made: Sequence[Wall]) -> dict[int, Asked]:
    """Detail -> answers; every wall is asked about at each before the next one."""
    asked = {detail: Asked([], [], []) for detail in DETAILS}
    for wall in tqdm(made, unit="wall"):
        for detail, so_far in asked.items():
            began = time.perf_counter()
            answers = grounder.ground(wall.frame, [wall.phrase, wall.absent], detail=detail)
            if wall.frame.shape[1] == SIZES[-1][0]:
                so_far.milliseconds.append(1000 * (time.perf_counter() - began))
            so_far.present.append(answers[0])
            so_far.absent.append(answers[1])
    return asked


def figures(made: Sequence[Wall], asked: Asked) -> dict[str, Any]:
    """Percent of things that are found in the right place, by width, and of absent ones found."""
    pairs = list(zip(made, asked.present, strict=True))
    right = np.array([iou_xyxy([a.box], [wall.box])[0, 0] >= 0.5 and a.found for wall, a in pairs])
    widths = np.array([wall.width for wall in made])
    groups = {"any width": widths > 0}
    for low, high in itertools.pairwise(WIDTHS):
        groups[f"{low:.0%} to {high:.0%} wide"] = (low <= widths) & (widths < high)
    return {
        "right": {name: percent(right[group]) for name, group in groups.items()},
        "walls": {name: int(group.sum()) for name, group in groups.items()},
        "absent_found": percent(np.array([answer.found for answer in asked.absent])),
        "milliseconds": percentiles(asked.milliseconds, (50, 95)),
    }


def percent(hits: NDArray[np.bool_]) -> float | None:
    """To a decimal; None of nothing."""
    return round(100 * float(hits.mean()), 1) if hits.size else None


def report(found: Mapping[int, dict[str, Any]]) -> str:
    """A Markdown table."""
    first = next(iter(found.values()))
    rows = [
        [f"{name} ({count})", *(str(of["right"][name]) for of in found.values())]
        for name, count in first["walls"].items()
    ]
    rows.append(["absent, found all the same", *(str(of["absent_found"]) for of in found.values())])
    median = [f"{of['milliseconds']['p50']:.0f}" for of in found.values()]
    rows.append(["median ms of 1920 x 1080, both phrases", *median])
    return table(["found in the right place, %", *(f"`detail={d}`" for d in found)], rows)


def draw_sheet(path: Path, made: Sequence[Wall], asked: Mapping[int, Asked]) -> None:
    """Walls as they are answered without parts, and beside it with parts of a third."""
    rows = []
    for number in range(0, len(made), max(1, len(made) // ON_SHEET)):
        frame = made[number].frame
        both = [draw(frame, [asked[detail].present[number]]) for detail in (1, 3)]
        rows.append(cv2.resize(np.hstack(both), (1920, 540), interpolation=cv2.INTER_AREA))
    write_image(path, np.vstack(rows))


@report_errors(OSError)
def main() -> None:
    """Print the table, write the JSON and, where asked to, the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--walls", type=int, default=240)
    parser.add_argument("--threads", type=int, help="CPU threads (default: physical cores)")
    parser.add_argument("--sheet", type=Path, help="picture to write, of some walls")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/camera_frames.json")
    args = parser.parse_args()
    grounder = Grounder.load(args.bundle, device="cpu", threads=args.threads)
    made = list(walls(data_root(args.data), args.walls))
    asked = ask(grounder, made)
    found = {detail: figures(made, of) for detail, of in asked.items()}
    print(report(found))
    record = {"machine": describe(), "bundle": grounder.manifest.name}
    save(args.json, {**record, "detail": {str(d): of for d, of in found.items()}})
    if args.sheet:
        draw_sheet(args.sheet, made, asked)


if __name__ == "__main__":
    sys.exit(main())
