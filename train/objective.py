"""What the answers to a batch cost: by labels where somebody gave them, by a teacher elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from train.candidate_loss import candidates_loss
from train.data.dataset import Batch
from train.distill import distillation_loss
from train.fusion.candidates import Matches
from train.losses import grounding_loss, instance_loss, naming_loss

Ask = Callable[[Tensor], Sequence[Tensor]]
"""(P,) bool, which phrases -> a teacher's boxes and logits of these."""


def objective(
    answers: Sequence[Any], batch: Batch, centers: Tensor | None, ask: Ask | None
) -> dict[str, Tensor]:
    """Loss terms of a batch, and their sum as "total".

    Args:
        answers: boxes (P, N, 4) and logits (P, N), then what the fusion thinks half-way, if it
            says so: proposals in the same form, and the classes (P, C) that the phrase names. Of
            the candidates fusion its `Matches` and `Comparison`.
        centers: (N, 2) cell centres, None for candidates without a place of their own.
    """
    if isinstance(answers[0], Matches):
        matches, comparison = answers
        return candidates_loss(matches, comparison, batch, centers)
    device = answers[0].device
    known = batch.labelled.to(device)
    labels = (batch.boxes, batch.present, batch.instances, batch.real, batch.classes)
    goal, present, instances, real, classes = (label.to(device)[known] for label in labels)
    boxes, logits, *half_way = (answer[known] for answer in answers)
    terms = grounding_loss(boxes, logits, goal, present, centers)
    more = {}
    if half_way and centers is not None:
        more["instances"] = instance_loss(*half_way[:2], instances, real, centers)
    if half_way[2:]:
        more["names"] = naming_loss(half_way[2], classes)
    if ask is not None and not known.all():
        boxes, logits, *_ = (answer[~known] for answer in answers)
        more["teacher"] = distillation_loss(boxes, logits, *ask(~known))
    return terms | more | {"total": sum(more.values(), terms["total"])}
