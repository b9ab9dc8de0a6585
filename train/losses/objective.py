"""What the answers to a batch cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from train.data.dataset import Batch
from train.fusion.candidates import Matches
from train.losses.candidates import candidates_loss
from train.losses.grounding import grounding_loss


def objective(answers: Sequence[Any], batch: Batch, centers: Tensor | None) -> dict[str, Tensor]:
    """Loss terms of a batch, and their sum as "total".

    Args:
        answers: `Matches` and `Comparison` of the candidates fusion; boxes (P, N, 4) and logits
            (P, N) of another one.
        centers: (N, 2) cell centres, None for candidates without a place of their own.
    """
    if isinstance(answers[0], Matches):
        assert centers is not None
        return candidates_loss(*answers, batch, centers)
    boxes, logits = answers
    goal, present = batch.boxes.to(boxes.device), batch.present.to(boxes.device)
    return grounding_loss(boxes, logits, goal, present, centers)
