"""How accuracy holds up when the picture is worse or the phrase is typed differently."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk import Grounder
from train.data import degrade, wording
from train.data.generated import SEED
from train.data.samples import Asked
from train.evaluator import accuracy, bundle_predict, evaluate

Image = NDArray[np.uint8]

PICTURE: dict[str, Callable[[random.Random, Image], Image]] = {
    "blur (sigma 1.5 px of a 224 px photo)": lambda _, image: degrade.blur(
        image, 1.5 * max(image.shape) / 224
    ),
    "low light (a quarter, with noise)": lambda rng, image: degrade.darken(image, 0.25, rng),
    "JPEG quality 30": lambda _, image: degrade.compress(image, 30),
    "90% scale": lambda _, image: degrade.shrink(image, 0.9),
}
TEXT: dict[str, Callable[[str, random.Random], str]] = {
    "paraphrase (doggy, guy, sofa)": wording.paraphrase,
    "typing mistake (teh dog)": wording.mistype,
    "upper case": lambda text, _: text.upper(),
    "full stop at the end": lambda text, _: text + ".",
}


def robustness(grounder: Grounder, asked: Asked) -> dict[str, Any]:
    """Condition -> phrases, their accuracy as they are and under the condition, points lost.

    A condition on the text counts only the phrases that it changes.
    """
    clean = evaluate(bundle_predict(grounder), asked)
    figures: dict[str, Any] = {}
    for name, worsen in PICTURE.items():
        predict = bundle_predict(grounder, partial(worsen, random.Random(SEED)))
        worse = evaluate(predict, asked)
        figures[name] = _compared(accuracy(clean), accuracy(worse), len(worse))
    for name, retype in TEXT.items():
        rng = random.Random(SEED)
        retyped = [
            (photo, [replace(e, text=retype(e.text, rng)) for e in expressions])
            for photo, expressions in asked
        ]
        worse = evaluate(bundle_predict(grounder), retyped)
        changed = [
            (before, after)
            for before, after in zip(clean, worse, strict=True)
            if before.expression.text != after.expression.text
        ]
        before, after = ([pair[i] for pair in changed] for i in (0, 1))
        figures[name] = _compared(accuracy(before), accuracy(after), len(changed))
    return figures


def _compared(clean: float, worse: float, phrases: int) -> dict[str, float]:
    return {"phrases": phrases, "clean": clean, "accuracy": worse, "lost": clean - worse}


def print_robustness(figures: dict[str, Any]) -> None:
    """One line per condition."""
    for name, row in figures.items():
        print(
            f"{name:52s} Acc@0.5 {row['accuracy']:5.1f}, {row['lost']:+.1f} lost of "
            f"{row['clean']:.1f}  ({row['phrases']} phrases)"
        )
