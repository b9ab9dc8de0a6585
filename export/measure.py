"""What a graph or a precision costs and gains: latency, answers on real photos, their agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from export.calibrate import logit
from sdk import Grounder
from sdk.bundle.calibration import Calibration
from sdk.geometry.boxes import iou_xyxy
from train.data.samples import Asked, Photo
from train.evaluator import Answer, Outcome, Predict, accuracy, bundle_predict, evaluate

MOST_POINTS_LOST = 0.5
"""Points of Acc@0.5 that a reduced form may cost."""


@dataclass
class Recorder:
    """An evaluator's `Predict` that keeps every answer of the one it asks."""

    predict: Predict
    answers: dict[tuple[Path, str], Answer] = field(default_factory=dict)
    """By photo and phrase."""

    def __call__(self, photo: Photo, texts: Sequence[str]) -> list[Answer]:
        answers = self.predict(photo, texts)
        keys = ((photo.path, text) for text in texts)
        self.answers.update(zip(keys, answers, strict=True))
        return answers


@dataclass(frozen=True)
class Answered:
    """What one precision of a bundle answers to a set of questions."""

    outcomes: list[Outcome]
    recorder: Recorder

    def single(self, *, contrastive: bool) -> list[Outcome]:
        """Those of phrases with one box: contrastive expressions, or what captions say."""
        return [
            o
            for o in self.outcomes
            if o.expression.single and (o.expression.num_instances > 1) == contrastive
        ]


def ask(bundle: Path, precision: str, questions: Asked, device: str) -> Answered:
    """Every question to the bundle, through the SDK."""
    grounder = Grounder.load(bundle, device=device, precision=precision)
    recorder = Recorder(bundle_predict(grounder))
    return Answered(evaluate(recorder, questions), recorder)


def points_lost(answers: Answered, reference: Answered) -> float:
    """Points of Acc@0.5 lost on captions' phrases or on contrastive expressions, the more of both;
    nan where neither were asked.

    A form may keep what is found and lose which of several is meant. Of so few questions that one
    is worth more than MOST_POINTS_LOST, one that is lost is chance and not counted.
    """
    found = []
    for kind in (False, True):
        if wanted := reference.single(contrastive=kind):
            lost = accuracy(wanted) - accuracy(answers.single(contrastive=kind))
            one = 100 / len(wanted)
            found.append(max(0.0, lost - one) if one > MOST_POINTS_LOST else lost)
    return max(found, default=math.nan)


def median_box_iou(answers: Recorder, reference: Recorder) -> float:
    """Median IoU between the boxes that both give for the same phrases."""
    return float(
        np.median(
            [
                iou_xyxy([answers.answers[key].box], [other.box])[0, 0]
                for key, other in reference.answers.items()
            ]
        )
    )


def score_drift(answers: Recorder, raw_reference: Recorder, calibration: Calibration) -> float:
    """Mean absolute difference between calibrated scores and a reference that is not calibrated."""
    return float(
        np.mean(
            [
                abs(answers.answers[key].score - calibration.score(logit(other.score)))
                for key, other in raw_reference.answers.items()
            ]
        )
    )
