"""One evaluator for a model in training and for a shipped bundle: both are a `Predict`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sdk.boxes import iou_xyxy, union_xyxy
from train.data.samples import Expression, Photo

Predict = Callable[[Photo, Sequence[str]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""(photo, P phrases) -> (P, 4) xyxy boxes in fractions of the photo, (P,) scores."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One phrase's result. `iou` with the (union) box, 0 where the thing is absent."""

    expression: Expression
    photo: Photo
    iou: float
    score: float

    @property
    def right(self) -> bool:
        """The field's metric: IoU of at least 0.5."""
        return self.iou >= 0.5


def evaluate(
    predict: Predict, photos: Sequence[tuple[Photo, Sequence[Expression]]], *, progress: bool = True
) -> list[Outcome]:
    """Ground every expression; several boxes of one phrase count as their union."""
    outcomes = []
    for photo, expressions in tqdm(photos, desc="evaluating", unit="photo", disable=not progress):
        if not expressions:
            continue
        boxes, scores = predict(photo, [e.text for e in expressions])
        for expression, box, score in zip(expressions, boxes, scores, strict=True):
            truth = union_xyxy(expression.boxes) if expression.boxes else np.zeros(4)
            iou = float(iou_xyxy(box[None], truth[None])[0, 0])
            outcomes.append(Outcome(expression, photo, iou, float(score)))
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
