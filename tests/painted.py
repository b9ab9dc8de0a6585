"""Photos of painted rectangles, and batches of them, for tests of training data.

Every rectangle has a colour of its own among the corners of the RGB cube, so that it is found again
after any change of light: a channel is on or off against half the maximum.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from sdk.bundle.preprocess import Preprocess
from train.config import TrainConfig
from train.data.dataset import Batch, BatchMaker
from train.data.samples import Box, Expression, Photo
from train.fusion import TRANSVG

SIDE = 192
PLAIN = Preprocess(SIDE, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # tensors are pixels, RGB
COLOURS = {"red": 4, "green": 2, "blue": 1, "yellow": 6, "pink": 5, "white": 7}  # bits R, G, B
LEFT: Box = (0.1, 0.2, 0.35, 0.6)
RIGHT: Box = (0.55, 0.25, 0.95, 0.9)
EPOCHS = 25


def paint(path: Path, *rectangles: tuple[str, Box]) -> Path:
    """Write a black 240 x 200 photo with rectangles."""
    image = np.zeros((200, 240, 3), np.uint8)
    for colour, box in rectangles:
        x1, y1, x2, y2 = (round(v * n) for v, n in zip(box, (240, 200, 240, 200), strict=True))
        image[y1:y2, x1:x2] = [255 * (COLOURS[colour] >> bit & 1) for bit in range(3)]  # BGR
    cv2.imwrite(str(path), image)
    return path


def captioned(folder: Path, left: str, right: str) -> Photo:
    said = (Expression(left, (LEFT,)), Expression(right, (RIGHT,)))
    return Photo(paint(folder / "captioned.png", ("red", LEFT), ("blue", RIGHT)), said)


def maker(photos: list[Photo], *, images: bool = True, **changes: object) -> BatchMaker:
    settings = {"fusion": TRANSVG, "augment": images, "negatives": 0.0} | changes
    return BatchMaker(PLAIN, photos, TrainConfig(**settings))  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    """True if two batches agree to the last pixel."""
    tensors = [(a.boxes, b.boxes), (a.photo_of, b.photo_of), (a.present, b.present)]
    tensors += [(a.images, b.images)] if a.images is not None else []
    return a.texts == b.texts and a.photos == b.photos and all(torch.equal(*t) for t in tensors)
