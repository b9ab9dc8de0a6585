"""One evaluator for a model in training and for a shipped bundle: both are a `Predict`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sdk import Grounder
from sdk.boxes import iou_xyxy, union_xyxy
from sdk.frames import as_bgr
from train.data.samples import Box, Expression, Photo

Image = NDArray[np.uint8]
Predict = Callable[[Photo, Sequence[str]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""(photo, P phrases) -> (P, 4) xyxy boxes in fractions of the photo, (P,) scores."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One phrase's result: the box found (xyxy fractions of the photo) and its score.

    `iou` is that with the (union) box, 0 where the thing is absent.
    """

    expression: Expression
    photo: Photo
    box: Box
    iou: float
    score: float

    @property
    def right(self) -> bool:
        """The field's metric: IoU of at least 0.5."""
        return self.iou >= 0.5


def bundle_predict(grounder: Grounder, worsen: Callable[[Image], Image] | None = None) -> Predict:
    """A `Predict` through the SDK, on a photo's file or on what `worsen` makes of its pixels."""

    def predict(
        photo: Photo, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with grounder.encode(worsen(as_bgr(photo.path)) if worsen else photo.path) as view:
            results = view.ground(list(texts))
            size = np.array(view.size_wh * 2, np.float32)
        boxes = np.array([r.box for r in results], np.float32) / size
        return boxes, np.array([r.score for r in results], np.float32)

    return predict


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
            x1, y1, x2, y2 = map(float, box)
            outcomes.append(Outcome(expression, photo, (x1, y1, x2, y2), iou, float(score)))
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
