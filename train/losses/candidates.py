"""Losses of the candidates fusion: find what the phrase names, then tell what is meant.

Cells learn to find all of the noun's instances and what else the phrase names, as a detector would
(`boxes.instance_loss`). Candidates learn which of them are meant: those whose box has an IoU of
0.5 with one of the phrase's boxes are positive, and their logits learn that IoU. Candidates are
those of inference: one put in for the truth's sake would be told by its low match.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from train.data.dataset import Batch
from train.fusion.candidates import Comparison
from train.losses.boxes import instance_loss, iou_and_giou, naming_loss, quality_focal, to_xyxy

RIGHT = 0.5
"""Least IoU of a right box, as in the field's metric."""
UNCOUNTED = 0.25
"""Weight of `members` for phrases of which nobody said that their boxes are all there are."""


def candidates_loss(comparison: Comparison, batch: Batch, centers: Tensor) -> dict[str, Tensor]:
    """Loss terms of a batch, each a mean over phrases, and their sum as "total".

    Args:
        centers: (N, 2) cell centres, fractions of the network input.
    """
    at = centers.device
    instances, real = batch.instances.to(at), batch.real.to(at)
    context, named_beside = batch.context.to(at), batch.is_context.to(at)
    found = comparison.matches
    terms = {
        "named": instance_loss(found.boxes, found.named, instances, real, centers),
        "context": 0.5 * instance_loss(found.boxes, found.context, context, named_beside, centers),
    }
    if found.classes.shape[1]:
        terms["classes"] = naming_loss(found.classes, batch.classes.to(at))
    answers, is_answer = batch.answers.to(at), batch.is_answer.to(at)
    terms |= meant_terms(comparison, answers, is_answer, batch.counted.to(at))
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def meant_terms(
    comparison: Comparison, answers: Tensor, is_answer: Tensor, counted: Tensor
) -> dict[str, Tensor]:
    """What the candidates (P, K) learn.

    Args:
        answers: (P, A, 4) cxcywh of what is meant; is_answer: (P, A) False = padding.
        counted: (P,) False where more may be meant than has a box.

    `quality` is `boxes.quality_focal`; `rank` is a softmax over candidates: where a box is
    right, a right one must come first; `presence` makes the best candidate's logit, the phrase's
    score, the log-odds that its box is right; `members` are as `quality`, without ranks.
    """
    logits = comparison.logits
    iou, _ = iou_and_giou(to_xyxy(comparison.boxes.detach())[:, :, None], to_xyxy(answers)[:, None])
    best = iou.masked_fill(~is_answer[:, None], 0).amax(-1)  # (P, K)
    right = best >= RIGHT
    wanted = best * right
    weight = right.sum(1).clamp(min=1).rsqrt()
    first, index = logits.max(1)
    answered = right.gather(1, index[:, None]).squeeze(1).to(first.dtype)
    of_right = torch.logsumexp(logits.masked_fill(~right, -1e4), 1)
    rank = (torch.logsumexp(logits, 1) - of_right) * right.any(1)
    sure = torch.where(counted, 1.0, UNCOUNTED)
    return {
        "quality": (weight * quality_focal(logits, wanted).sum(1)).mean(),
        "rank": rank.mean(),
        "presence": F.binary_cross_entropy_with_logits(first, answered),
        "members": (sure * weight * quality_focal(comparison.members, wanted).sum(1)).mean(),
    }
