"""What the answers to a batch cost."""

from __future__ import annotations

from torch import Tensor

from train.data.dataset import Batch
from train.fusion.base import Answers
from train.fusion.candidates import Comparison
from train.losses.boxes import box_loss, grounding_loss
from train.losses.candidates import candidates_loss


def objective(
    answers: Answers, batch: Batch, centers: Tensor | None, loss: str = "all"
) -> dict[str, Tensor]:
    """Loss terms of a batch, and their sum as "total".

    Args:
        centers: (N, 2) cell centres, None for candidates without a place of their own.
        loss: one of `train.losses.LOSSES`.
    """
    if isinstance(answers, Comparison):
        assert centers is not None
        return candidates_loss(answers, batch, centers)
    at = answers.boxes.device
    goal, present = batch.boxes.to(at), batch.present.to(at)
    if loss == "box":
        return box_loss(answers.boxes, answers.logits, goal, present)
    return grounding_loss(answers.boxes, answers.logits, goal, present, centers)
