"""What is asked: a bundle through the SDK, as its users would, or a training run's checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdk import Grounder
from train.evaluator import Predict, bundle_predict
from train.inference import checkpoint_predict


@dataclass(frozen=True)
class Model:
    """Something that grounds."""

    name: str
    predict: Predict
    threshold: float | None = None
    """Score from which on it finds things; None where nobody chose one."""


def load(path: Path, vocab: Path) -> Model:
    """A bundle's folder, or a checkpoint in FP32 with the vocabulary of its text encoder.

    Raises:
        GroundingError, CheckpointError, ValueError, OSError: it cannot be loaded.
    """
    if path.suffix == ".safetensors":
        return Model(path.stem, checkpoint_predict(path, vocab))
    grounder = Grounder.load(path)
    return Model(grounder.manifest.name, bundle_predict(grounder), grounder.manifest.threshold)
