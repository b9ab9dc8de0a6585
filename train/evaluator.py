"""One evaluator for a model in training and for a shipped bundle: both are a `Predict`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sdk import Grounder
from sdk.geometry.boxes import iou_xyxy
from sdk.inputs.frames import as_bgr
from train.data.formats import union_xyxy
from train.data.samples import Box, Expression, Photo

Image = NDArray[np.uint8]
Predict = Callable[[Photo, Sequence[str]], "list[Answer]"]
"""(photo, phrases) -> an answer to each."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one phrase. Boxes are xyxy fractions of the photo."""

    box: Box
    score: float
    instances: tuple[tuple[Box, float], ...] = ()
    """All that the phrase names, with scores; empty as well where a model gives one box alone."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One phrase's answer. `iou` is that with the (union) box, 0 where the thing is absent."""

    expression: Expression
    photo: Photo
    box: Box
    iou: float
    score: float
    instances: tuple[tuple[Box, float], ...] = ()

    @property
    def right(self) -> bool:
        """The field's metric: IoU of at least 0.5."""
        return self.iou >= 0.5


def bundle_predict(grounder: Grounder, worsen: Callable[[Image], Image] | None = None) -> Predict:
    """A `Predict` through the SDK, on a photo's file or on what `worsen` makes of its pixels."""

    def predict(photo: Photo, texts: Sequence[str]) -> list[Answer]:
        with grounder.encode(worsen(as_bgr(photo.path)) if worsen else photo.path) as view:
            results = view.ground(list(texts))
            width, height = view.size_wh

        def fractions(box: Box) -> Box:
            return box[0] / width, box[1] / height, box[2] / width, box[3] / height

        return [
            Answer(
                fractions(result.box),
                result.score,
                tuple((fractions(place.box), place.score) for place in result.instances),
            )
            for result in results
        ]

    return predict


def evaluate(
    predict: Predict, photos: Sequence[tuple[Photo, Sequence[Expression]]], *, progress: bool = True
) -> list[Outcome]:
    """Ground every expression; several boxes of one phrase count as their union."""
    outcomes = []
    for photo, expressions in tqdm(photos, desc="evaluating", unit="photo", disable=not progress):
        if not expressions:
            continue
        answers = predict(photo, [e.text for e in expressions])
        for expression, answer in zip(expressions, answers, strict=True):
            truth = union_xyxy(expression.boxes) if expression.boxes else np.zeros(4)
            iou = float(iou_xyxy([answer.box], truth[None])[0, 0])
            outcomes.append(
                Outcome(expression, photo, answer.box, iou, answer.score, answer.instances)
            )
    return outcomes


def accuracy(outcomes: Sequence[Outcome]) -> float:
    """Acc@0.5 in percent; nan for no outcomes."""
    return 100 * float(np.mean([o.right for o in outcomes])) if outcomes else float("nan")


def accuracy_by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Kind -> {"accuracy", "phrases"}, most frequent first."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.expression.kind].append(outcome)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return {kind: {"accuracy": accuracy(g), "phrases": len(g)} for kind, g in ordered}
