"""Losses of the candidates fusion: find what the phrase names, then tell what is meant.

Cells learn to find all of the noun's instances and what else the phrase names, as a detector would
(`losses.instance_loss`). Candidates learn which of them are meant: those whose box has an IoU of
0.5 with one of the phrase's boxes are positive, and their logits learn that IoU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from train.data.dataset import Batch
from train.fusion.candidates import Comparison, Matches
from train.losses import candidate_terms, instance_loss, iou_and_giou, naming_loss, to_xyxy

RIGHT = 0.5
"""Least IoU of a right box, as in the field's metric."""
UNCOUNTED = 0.25
"""Weight of `members` for phrases of which nobody said that their boxes are all there are."""


def candidates_loss(
    matches: Matches, comparison: Comparison, batch: Batch, centers: Tensor
) -> dict[str, Tensor]:
    """Loss terms of a batch, each a mean over phrases, and their sum as "total".

    Args:
        centers: (N, 2) cell centres, fractions of the network input.
    """
    at = centers.device
    instances, real = batch.instances.to(at), batch.real.to(at)
    context, named_beside = batch.context.to(at), batch.is_context.to(at)
    boxes, named, beside, classes = matches
    terms = {
        "named": instance_loss(boxes, named, instances, real, centers),
        "context": 0.5 * instance_loss(boxes, beside, context, named_beside, centers),
    }
    if classes.shape[1]:
        terms["classes"] = naming_loss(classes, batch.classes.to(at))
    answers, is_answer = batch.answers.to(at), batch.is_answer.to(at)
    terms |= meant_terms(comparison, answers, is_answer, batch.counted.to(at), centers)
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def meant_terms(
    comparison: Comparison, answers: Tensor, is_answer: Tensor, counted: Tensor, centers: Tensor
) -> dict[str, Tensor]:
    """What the candidates (P, K) learn.

    Args:
        answers: (P, A, 4) cxcywh of what is meant; is_answer: (P, A) False = padding.
        counted: (P,) False where more may be meant than has a box.

    `quality` and the box terms are `losses.candidate_terms`; `rank` is a softmax over candidates:
    a right box of what is meant must come first; `presence` makes the best candidate's logit, the
    phrase's score, the log-odds that its box is right; `members` are as `quality`, without ranks.
    """
    boxes, logits, members, cells = comparison
    iou, _ = iou_and_giou(to_xyxy(boxes)[:, :, None], to_xyxy(answers)[:, None])  # (P, K, A)
    iou = iou.detach().masked_fill(~is_answer[:, None], -1)
    best, which = iou.max(-1)
    nearest = (centers[cells][:, :, None] - answers[:, None, :, :2]).square().sum(-1)
    nearest = nearest.masked_fill(~is_answer[:, None], torch.inf)  # (P, K, A)
    # Of each answer its nearest candidate is positive, however bad its box still is.
    closest = torch.zeros_like(nearest, dtype=torch.bool)
    closest = closest.scatter(1, nearest.argmin(1, keepdim=True), True) & is_answer[:, None]
    forced = closest.any(-1)
    which = torch.where(forced & (best < RIGHT), closest.float().argmax(-1), which)
    positive = (best >= RIGHT) | forced
    goal = answers.gather(1, which[..., None].expand(-1, -1, 4))
    terms, quality = candidate_terms(boxes, logits, goal, positive.float())
    present = is_answer.any(1)
    # A right box must come first, not the nearest one: that one only where none is right.
    right = best >= RIGHT
    first_ones = torch.where(right.any(1, keepdim=True), right, forced)
    of_positive = torch.logsumexp(logits.masked_fill(~first_ones, -1e4), 1)
    terms["rank"] = (torch.logsumexp(logits, 1) - of_positive)[present].sum() / len(logits)
    first, index = logits.max(1)
    answered = right.gather(1, index[:, None]).squeeze(1).to(first.dtype)
    terms["presence"] = F.binary_cross_entropy_with_logits(first, answered)
    wanted = quality.clamp(0, 1) * positive
    focal = (members.sigmoid().detach() - wanted).square()
    bce = focal * F.binary_cross_entropy_with_logits(members, wanted, reduction="none")
    weight = torch.where(counted, 1.0, UNCOUNTED) / positive.sum(1).clamp(min=1).sqrt()
    terms["members"] = (weight * bce.sum(1)).mean()
    return terms


def wanted_cells(batch: Batch, centers: Tensor) -> Tensor:
    """(P, N) bool: the cells nearest to what is meant and to what the noun names."""
    boxes = torch.cat([batch.answers, batch.instances], dim=1).to(centers.device)
    real = torch.cat([batch.is_answer, batch.real], dim=1).to(centers.device)
    distance = (centers - boxes[:, :, None, :2]).square().sum(-1)  # (P, boxes, N)
    nearest = torch.zeros_like(distance, dtype=torch.bool)
    nearest = nearest.scatter(2, distance.argmin(2, keepdim=True), True)
    return (nearest & real[..., None]).any(1)
