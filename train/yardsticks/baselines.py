"""What a grounder has to beat: the whole image, and a detector that is told the class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdk.geometry.decode import suppress
from sdk.inputs.frames import as_bgr
from train.data.coco import class_named
from train.data.samples import Photo, as_box
from train.encoders.picodet import Detector
from train.evaluator import Answer
from train.yardsticks.models import Model

SIZES = {"320": 320, "416": 416}
"""In a detector's file name -> the input that it was trained for."""
LEAST, MOST = 0.4, 20
"""Least probability of a box that the detector counts, and most boxes of a class in a photo."""


def detector_of(path: Path) -> Detector:
    """A PicoDet-S at its own input size.

    Raises:
        ValueError: no such file, or not a PicoDet-S whose name says its size.
    """
    sizes = [size for name, size in SIZES.items() if name in path.stem]
    if not path.is_file():
        raise ValueError(f"expected a PicoDet-S .onnx, got {path}, which does not exist")
    if len(sizes) != 1:
        raise ValueError(f"expected 320 or 416 in the detector's name, got {path.name}")
    return Detector(path, sizes[0])


def whole_image() -> Model:
    """Always answers the full frame; its scores mean nothing."""

    def predict(photo: Photo, texts: Sequence[str]) -> list[Answer]:
        return [Answer((0.0, 0.0, 1.0, 1.0), 1.0)] * len(texts)

    return Model("whole image", predict)


def told_the_class(path: Path) -> Model:
    """The box of a PicoDet-S with the highest probability of the class that the phrase names.

    The score is that probability; instances are its boxes from LEAST on after suppression. Of place
    and size it reads nothing.

    Raises:
        ValueError: see `detector_of`; when asked, a phrase that names no class of COCO.
    """
    detector = detector_of(path)

    def predict(photo: Photo, texts: Sequence[str]) -> list[Answer]:
        (boxes,), (probabilities,) = detector([as_bgr(photo.path)])
        answers = []
        for text in texts:
            likely = probabilities[class_named(text)]
            kept = [n for n in suppress(boxes, likely, MOST) if likely[n] >= LEAST]
            found = [(as_box(boxes[n]), float(likely[n])) for n in kept]
            best = int(likely.argmax())
            answers.append(Answer(as_box(boxes[best]), float(likely[best]), tuple(found)))
        return answers

    return Model(detector.name, predict)
