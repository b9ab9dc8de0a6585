"""What a grounder has to beat: the whole image, and a detector that is told the class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdk.boxes import cxcywh_to_xyxy
from sdk.frames import as_bgr
from train.build import preprocess_for
from train.config import TrainConfig
from train.data.coco import class_named
from train.data.samples import Asked, Photo
from train.encoders.picodet import from_picodet, neck_maps
from train.fusion.detections import as_boxes
from train.yardsticks.models import Model

SIZES = {"320": 320, "416": 416}
"""In a detector's file name -> the input that it was trained for."""
TOLD_KINDS = ("unique", "left_right", "size", "absent")
"""Everyday questions that name one class and ask for one box of it."""


class Detector:
    """A PicoDet-S at its own input size.

    Raises:
        ValueError: no such file, or not a PicoDet-S whose name says its size.
    """

    def __init__(self, path: Path) -> None:
        sizes = [size for name, size in SIZES.items() if name in path.stem]
        if not path.is_file():
            raise ValueError(f"expected a PicoDet-S .onnx, got {path}, which does not exist")
        if len(sizes) != 1:
            raise ValueError(f"expected 320 or 416 in the detector's name, got {path.name}")
        self.name = path.stem
        self.encoder, self.head = (part.eval() for part in from_picodet(path))
        self.preprocess = preprocess_for(TrainConfig(image_size=sizes[0]))

    @torch.no_grad()
    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(H, W, 3) BGR -> boxes (M, 4) xyxy fractions, probabilities (M, classes)."""
        maps = neck_maps(self.encoder, torch.from_numpy(self.preprocess.tensor(image)))
        finest = maps[0].shape[-1]
        boxes, probabilities = [], []
        for level, (logits, sides) in enumerate(self.head.predict_levels(maps)):
            boxes.append(as_boxes(sides, 2**level / finest)[0].flatten(1).T.numpy())
            probabilities.append(logits[0].sigmoid().flatten(1).T.numpy())
        return cxcywh_to_xyxy(np.concatenate(boxes)).clip(0, 1), np.concatenate(probabilities)


def whole_image() -> Model:
    """Always answers the full frame; its scores mean nothing."""

    def predict(
        photo: Photo, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        count = len(texts)
        return np.tile(np.float32([0, 0, 1, 1]), (count, 1)), np.ones(count, np.float32)

    return Model("whole image", predict)


def told_the_class(path: Path) -> Model:
    """The box of a PicoDet-S with the highest probability of the class that the phrase names.

    The score is that probability. Of place and size it reads nothing.

    Raises:
        ValueError: see `Detector`; when asked, a phrase that names no class of COCO.
    """
    detector = Detector(path)

    def predict(
        photo: Photo, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, probabilities = detector(as_bgr(photo.path))
        likely = probabilities[:, [class_named(text) for text in texts]]  # (M, P)
        return boxes[likely.argmax(0)], likely.max(0)

    return Model(detector.name, predict)


def told_questions(everyday: Asked) -> Asked:
    """Those of the everyday questions that `told_the_class` can answer."""
    return [(p, [e for e in asked if e.kind in TOLD_KINDS]) for p, asked in everyday]
