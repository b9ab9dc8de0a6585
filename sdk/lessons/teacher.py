"""From examples to a lesson: which noun finds them, and what tells them from other things."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.geometry.boxes import cxcywh_to_xyxy, iou_xyxy
from sdk.lessons.background import Background
from sdk.lessons.lesson import NOUN_SHARE, Figures, Lesson, taught_logits
from sdk.lessons.looks import looks
from sdk.lessons.regression import fit_logistic

Array = NDArray[np.floating[Any]]

RIGHT, GOOD = 0.5, 0.7
"""IoU with the example's box below which a candidate does not show the thing; from which it is as
good as the best."""
FIRST_NOUNS = 32
"""As many as one call of the fusion takes: enough for a single example, at once."""
LOOKED_AT, FINALISTS = 3, 32
"""All nouns are tried on the first examples, the best of these on all."""
LEAST_LIKELY = -6.0
"""Log-probability below which a noun is no worse: one example must not outvote the others."""
PENALTY = 0.3
"""Of the regression, on whitened looks, for each example."""
TYPICAL_OTHER = 0.9
"""Quantile of the noun's logits of other things: what background boxes are taken to have."""
FOLDS = 5


class Example(NamedTuple):
    """One frame."""

    visual_tokens: NDArray[np.float16]
    """(1, N, Dv)."""
    box: NDArray[np.float32] | None
    """(4,) cxcywh, fractions of the frame; None where the thing is not there."""


class Rows(NamedTuple):
    """Boxes of one frame that the regression learns from."""

    looks: Array
    labels: Array
    logits: Array
    weights: Array


Ask = Callable[[Array, Sequence[str]], tuple[Array, Array]]
"""Visual tokens (1, N, Dv) and P phrases -> candidates (P, K, 4) cxcywh and logits (P, K)."""


class Teacher:
    """Learns lessons for one bundle.

    Args:
        ask: the bundle's fusion graph.
    """

    def __init__(self, ask: Ask, background: Background) -> None:
        self.ask, self.background = ask, background

    def learn(
        self,
        name: str,
        examples: Sequence[Example],
        nouns: Sequence[str],
        right_before: int,
        model: str,
    ) -> Lesson:
        """A lesson of the name.

        Args:
            nouns: to choose from, what the name may be read as.
            right_before: how many of the examples the name finds now.
        """
        shown = [example for example in examples if example.box is not None]
        noun = self._best_noun(shown, nouns)
        frames = [self.rows(example, noun) for example in examples]
        weights, bias = self._fit(frames)
        left_out = self._right_left_out(examples, frames, noun)
        figures = Figures(len(shown), len(examples) - len(shown), right_before, left_out)
        return Lesson(name, noun, weights, bias, model, figures)

    def _best_noun(self, shown: Sequence[Example], nouns: Sequence[str]) -> str:
        """The noun whose candidates' probabilities are most on the examples' boxes."""
        passes = [shown] if len(nouns) <= FINALISTS else [shown[:LOOKED_AT], shown]
        for examples in passes:
            total = sum(
                np.maximum(self._log_likelihoods(example, nouns), LEAST_LIKELY)
                for example in examples
            )
            nouns = [nouns[i] for i in np.argsort(-np.asarray(total), kind="stable")[:FINALISTS]]
        return nouns[0]

    def _log_likelihoods(self, example: Example, nouns: Sequence[str]) -> Array:
        """(P,) log of the share of a noun's odds that is on the box, weighted with the IoU."""
        boxes, logits = self.ask(example.visual_tokens, [f"the {noun}" for noun in nouns])
        overlap = np.array([overlaps(candidates, example) for candidates in boxes])
        tight = np.where(overlap >= RIGHT, np.log(np.maximum(overlap, RIGHT)), -np.inf)
        right = np.logaddexp.reduce(logits + tight, axis=1)
        likely: Array = right - np.logaddexp(0, np.logaddexp.reduce(logits, axis=1))
        return likely

    def _candidates(self, example: Example, noun: str) -> tuple[Array, Array]:
        """Of the noun: (K, 4) boxes and (K,) logits."""
        boxes, logits = self.ask(example.visual_tokens, [f"the {noun}"])
        return boxes[0], logits[0]

    def rows(self, example: Example, noun: str) -> Rows:
        """The example's own box and the candidates; what shows the thing weighs as the rest."""
        boxes, logits = self._candidates(example, noun)
        seen = looks(example.visual_tokens, boxes)
        if example.box is None:
            return Rows(seen, np.zeros(len(seen)), logits, np.full(len(seen), 1 / len(seen)))
        overlap = overlaps(boxes, example)
        wrong = overlap < RIGHT
        right = overlap >= max(RIGHT, min(GOOD, overlap.max()))
        best = logits[right].max() if right.any() else logits.max()
        labels = np.concatenate([[1.0], np.ones(right.sum()), np.zeros(wrong.sum())])
        share = 0.5 if right.any() else 1.0
        weights = [share], np.full(right.sum(), 0.5 / max(1, right.sum()))
        return Rows(
            np.vstack([looks(example.visual_tokens, example.box[None]), seen[right], seen[wrong]]),
            labels,
            np.concatenate([[best], logits[right], logits[wrong]]),
            np.concatenate([*weights, np.full(wrong.sum(), 1 / max(1, wrong.sum()))]),
        )

    def _fit(self, frames: Sequence[Rows]) -> tuple[NDArray[np.float32], float]:
        """Weights (F,) and bias that tell the thing from the frames' other things and others."""
        solution, bias = fit_logistic(*self.table(frames), PENALTY * len(frames))
        raw = self.background.whitening @ solution
        return raw.astype(np.float32), bias - float(self.background.mean @ raw)

    def table(self, frames: Sequence[Rows]) -> tuple[Array, Array, Array, Array]:
        """What the regression learns from: whitened looks (N, F), labels, offsets, weights (N,)."""
        seen, labels, logits, weights = (np.concatenate(part) for part in zip(*frames, strict=True))
        others = self.background.looks
        typical = np.quantile(logits[labels == 0], TYPICAL_OTHER) if (labels == 0).any() else 0.0
        return (
            np.vstack([self.background.whitened(seen), self.background.white]),
            np.concatenate([labels, np.zeros(len(others))]),
            NOUN_SHARE * np.concatenate([logits, np.full(len(others), typical)]),
            np.concatenate([weights, np.full(len(others), labels @ weights / len(others))]),
        )

    def _right_left_out(
        self, examples: Sequence[Example], frames: Sequence[Rows], noun: str
    ) -> int:
        """How many examples are found by what is learned of the others, in a few folds."""
        shown = [i for i, example in enumerate(examples) if example.box is not None]
        right = 0
        for fold in range(min(FOLDS, len(shown))) if len(shown) > 1 else ():
            tested = shown[fold::FOLDS]
            weights, bias = self._fit([f for i, f in enumerate(frames) if i not in tested])
            for index in tested:
                example = examples[index]
                boxes, logits = self._candidates(example, noun)
                told = taught_logits(example.visual_tokens, boxes, logits, weights, bias)
                best = int(told.argmax())
                right += bool(told[best] >= 0 and overlaps(boxes, example)[best] >= RIGHT)
        return right


def overlaps(boxes_cxcywh: Array, example: Example) -> Array:
    """(K,) IoU of candidates with the example's box."""
    assert example.box is not None
    own = cxcywh_to_xyxy(example.box[None])
    overlap: Array = iou_xyxy(own, cxcywh_to_xyxy(boxes_cxcywh))[0]
    return overlap
