"""What a model answers to all lists, each photo encoded once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sdk.boxes import iou_xyxy
from train.data.samples import Asked, Photo
from train.evaluator import Outcome, Predict
from train.yardsticks.intervals import Rows


class Answers:
    """A `Predict` that was asked everything beforehand, all phrases of a photo in one call."""

    def __init__(self, predict: Predict, lists: Iterable[Asked], name: str) -> None:
        phrases: dict[Path, dict[str, None]] = {}
        for asked in lists:
            for photo, expressions in asked:
                phrases.setdefault(photo.path, {}).update(
                    dict.fromkeys(e.text for e in expressions)
                )
        self._found: dict[tuple[Path, str], tuple[NDArray[np.float32], float]] = {}
        for path, texts in tqdm(phrases.items(), desc=name, unit="photo"):
            if not texts:
                continue
            boxes, scores = predict(Photo(path), list(texts))
            for text, box, score in zip(texts, boxes, scores, strict=True):
                self._found[path, text] = box, float(score)

    def __call__(
        self, photo: Photo, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(P, 4) xyxy boxes in fractions of the photo, (P,) scores, as they were answered."""
        boxes, scores = zip(*(self._found[photo.path, text] for text in texts), strict=True)
        return np.array(boxes, np.float32), np.array(scores, np.float32)


def to_nearest(outcome: Outcome) -> Outcome:
    """The outcome with the IoU to the nearest of several boxes in place of that to their union."""
    if not outcome.expression.boxes:
        return outcome
    iou = iou_xyxy([outcome.box], outcome.expression.boxes).max()
    return dataclasses.replace(outcome, iou=float(iou))


def as_rows(outcomes: Sequence[Outcome]) -> Rows:
    """The outcomes as columns, in their order."""
    numbers = {path: number for number, path in enumerate(dict.fromkeys(_paths(outcomes)))}
    return Rows(
        np.array([numbers[path] for path in _paths(outcomes)], np.intp),
        np.array([bool(o.expression.boxes) for o in outcomes], bool),
        np.array([o.right for o in outcomes], bool),
        np.array([o.score for o in outcomes], float),
    )


def _paths(outcomes: Sequence[Outcome]) -> list[Path]:
    return [outcome.photo.path for outcome in outcomes]
