"""Pictures of the docs: `python -m benchmarks.pictures`.

docs/images/demo.jpg shows what `make demo` asks, docs/images/failures.jpg what goes wrong on the
same photos. docs/images/camera.jpg is a frame of 1920 x 1080, the wall of the pictures of the
askings, asked for `THINGS` as a whole and, below, with `detail=3`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.demo import ASSETS, PHOTOS
from benchmarks.asked import load
from benchmarks.camera_frames import joined
from benchmarks.record import ROOT
from sdk import Grounder
from sdk.inputs.frames import as_bgr
from sdk.outputs.drawing import draw

FAILURES = {
    "cat.jpg": ("a dog", "the cat's nose", "the eye on the right"),
    "moose.jpg": ("a dog", "the antler on the right"),
    "coffee.jpg": ("a glass of water", "the red saucer"),
    "astronaut.jpg": ("the helmet", "a man with a beard"),
    "stairs.jpg": ("the person wearing a cap", "the hat"),
    "bridge.jpg": ("the tower of the bridge", "the boat"),
}
CELL_WH, ACROSS = (438, 334), 3
FRAME_WH, PHOTO_WH = (1920, 1080), (384, 270)
THINGS = (
    *("the cat", "the cup", "the astronaut", "the moose", "the bridge", "the man with a camera"),
    *("the bee", "the windmill", "the frying pan", "the laptop", "the sofa", "the blue car"),
    *("the bench", "the teddy bear", "the globe", "the dining table"),
)
"""One thing of most of the pictures; chosen before anything was asked."""


def sheet(grounder: Grounder, photos: Mapping[str, Sequence[str]]) -> NDArray[np.uint8]:
    """The photos with their phrases' boxes in rows, (H, W, 3) BGR; answers are printed."""
    width, height = CELL_WH
    cells = []
    for name, phrases in photos.items():
        photo = as_bgr(ASSETS / name)
        results = grounder.ground(photo, list(phrases))
        for result in results:
            print(f"{name:14s} {result.text:26s} {result.score:.2f} {len(result.instances)}")
        scale = min(width / photo.shape[1], height / photo.shape[0])
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        drawn = draw(photo, [result.scaled(scale, scale) for result in results])
        cell = np.full((height, width, 3), 255, np.uint8)
        top, left = (height - drawn.shape[0]) // 2, (width - drawn.shape[1]) // 2
        cell[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
        cells.append(cell)
    rows = [np.hstack(cells[at : at + ACROSS]) for at in range(0, len(cells), ACROSS)]
    return np.vstack(rows)


def camera(grounder: Grounder) -> NDArray[np.uint8]:
    """Both halves of docs/images/camera.jpg, (H, W, 3) BGR; answers are printed."""
    frame, _ = joined([ROOT / p.image for p in load()], FRAME_WH, PHOTO_WH)
    halves = []
    for detail in (1, 3):
        results = grounder.ground(frame, THINGS, detail=detail)
        for result in results:
            print(f"detail={detail} {result.text:26s} {result.score:.2f} {result.found}")
        found = [result for result in results if result.found]
        halves.append(draw(frame, found, header=[f"detail={detail}"]))
    return cv2.resize(np.vstack(halves), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def main() -> int:
    """Draw all."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with Grounder.load() as grounder:
        drawn = {"demo": sheet(grounder, PHOTOS), "failures": sheet(grounder, FAILURES)}
        for name, picture in (drawn | {"camera": camera(grounder)}).items():
            path = ROOT / f"docs/images/{name}.jpg"
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return 0


if __name__ == "__main__":
    sys.exit(main())
