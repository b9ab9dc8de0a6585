"""What a model answers to all lists, each photo encoded once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sdk.geometry.boxes import iou_xyxy
from train.data.samples import Asked, Photo
from train.evaluator import Answer, Outcome, Predict, evaluate
from train.yardsticks.intervals import Rows

Lists = Mapping[str, Asked]
"""Name of a list -> its questions."""
Outcomes = Mapping[str, Sequence[Outcome]]
"""Name of a list -> what came of its questions."""


def ask(predict: Predict, lists: Lists, name: str) -> Outcomes:
    """Ask a model all lists: a photo that several of them hold is still encoded once.

    Args:
        name: of the model, for the progress bar.
    """
    answers = Answers(predict, lists, name)
    return {key: evaluate(answers, asked, progress=False) for key, asked in lists.items()}


class Answers:
    """A `Predict` that was asked everything beforehand, all phrases of a photo in one call."""

    def __init__(self, predict: Predict, lists: Lists, name: str) -> None:
        phrases: dict[Path, dict[str, None]] = {}  # in their order, each once
        for photo, expressions in (question for asked in lists.values() for question in asked):
            phrases.setdefault(photo.path, {}).update((e.text, None) for e in expressions)
        self._found: dict[tuple[Path, str], Answer] = {}
        for path, texts in tqdm(phrases.items(), desc=name, unit="photo"):
            for text, answer in zip(texts, predict(Photo(path), list(texts)), strict=True):
                self._found[path, text] = answer

    def __call__(self, photo: Photo, texts: Sequence[str]) -> list[Answer]:
        """As they were answered."""
        return [self._found[photo.path, text] for text in texts]


def to_nearest(outcome: Outcome) -> Outcome:
    """The outcome with the IoU to the nearest of several boxes in place of that to their union."""
    if not outcome.expression.boxes:
        return outcome
    iou = iou_xyxy([outcome.box], outcome.expression.boxes).max()
    return dataclasses.replace(outcome, iou=float(iou))


def as_rows(outcomes: Sequence[Outcome]) -> Rows:
    """The outcomes as columns, in their order."""
    paths = [outcome.photo.path for outcome in outcomes]
    numbers = {path: number for number, path in enumerate(dict.fromkeys(paths))}
    return Rows(
        np.array([numbers[path] for path in paths], np.intp),
        np.array([bool(o.expression.boxes) for o in outcomes], bool),
        np.array([o.right for o in outcomes], bool),
        np.array([o.score for o in outcomes], float),
    )
