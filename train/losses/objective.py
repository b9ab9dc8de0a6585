"""What the answers to a batch cost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from train.data.dataset import Batch
from train.fusion.base import Answers
from train.fusion.candidates import Comparison, ComparisonWithLevels
from train.fusion.detections import LevelOutputs
from train.losses.boxes import box_loss, grounding_loss
from train.losses.candidates import candidates_loss
from train.losses.forgetting import forgetting_loss


def objective(
    answers: Answers,
    batch: Batch,
    centers: Tensor | None,
    loss: str = "all",
    before: Sequence[LevelOutputs] | None = None,
) -> dict[str, Tensor]:
    """Loss terms of a batch, and their sum as "total".

    Args:
        centers: (N, 2) cell centres, None for candidates without a place of their own.
        loss: one of `train.losses.LOSSES`.
        before: what the detector said of the batch's photos before it trained.
    """
    if isinstance(answers, Comparison):
        assert centers is not None
        terms = candidates_loss(answers, batch, centers)
        if before is not None and isinstance(answers, ComparisonWithLevels):
            total, forgetting = terms.pop("total"), forgetting_loss(answers.levels, before)
            terms |= {"forgetting": forgetting, "total": total + forgetting}
        return terms
    at = answers.boxes.device
    goal, present = batch.boxes.to(at), batch.present.to(at)
    if loss == "box":
        return box_loss(answers.boxes, answers.logits, goal, present)
    return grounding_loss(answers.boxes, answers.logits, goal, present, centers)
