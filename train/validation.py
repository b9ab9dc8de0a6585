"""Validation of a run while it trains, by its averaged weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object, send_to_device
from torch import Tensor

from sdk.inputs.frames import as_bgr
from train.checkpoint import load_parameters
from train.data.samples import Photo
from train.evaluator import Answer, evaluate
from train.inference import best_answers
from train.interrupt import Interrupted

if TYPE_CHECKING:
    from train.trainer import Trainer


@torch.no_grad()
def validate(run: Trainer) -> tuple[float, int]:
    """Acc@0.5 of the averaged weights on the single-box validation phrases, and their number.

    Every process grounds its share; all of them get the whole figure.

    Raises:
        Interrupted: a signal came.
    """
    current = {name: t.detach().clone() for name, t in run.model.adapter_state().items()}
    load_parameters(run.model, run.average)
    try:
        right: list[bool] = []
        for photo in run.val_photos[run.rank :: run.world]:
            if run.signalled:  # it may take minutes, and the state is written
                raise Interrupted(run.saved_step, run.checkpoint)
            asked = [e for e in photo.expressions if e.single]
            outcomes = evaluate(partial(predict, run), [(photo, asked)], progress=False)
            right += [outcome.right for outcome in outcomes]
        right = gather_object(right)
        return (100 * sum(right) / len(right) if right else float("nan")), len(right)
    finally:
        load_parameters(run.model, current)


@torch.no_grad()
def predict(run: Trainer, photo: Photo, texts: Sequence[str]) -> list[Answer]:
    """An evaluator's `Predict` with the run's model as it is."""
    run.model.eval()
    photos: Tensor | list[Tensor]
    if run.cached_vision is not None:
        photos = run.cached_vision([photo])
    else:
        photos = torch.from_numpy(run.preprocess.tensor(as_bgr(photo.path)))
    text, mask = run.texts(texts)
    inputs = (photos, torch.zeros(len(texts), dtype=torch.long), text, mask)
    return best_answers(run.model(*send_to_device(inputs, run.device)))
