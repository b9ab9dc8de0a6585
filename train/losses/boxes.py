"""Losses of boxes and logits.

Each phrase has one box or none. Cells in the core of the box are positive; they learn the box, and
their logit learns the IoU that their box reaches. All other cells learn zero, and so do all cells
of a phrase that names nothing in the photo.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from train.data.coco import NONE

CORE = 0.6
"""Share of the box, around its centre, whose cells are positive."""


def to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) cxcywh -> xyxy."""
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([center - half, center + half], dim=-1)


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al., arXiv:1902.09630) of xyxy boxes, elementwise."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    inter = size.prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    union = (area_a + area_b - inter).clamp(min=1e-7)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull_area = hull.prod(-1).clamp(min=1e-7)
    iou = inter / union
    return iou, iou - (hull_area - union) / hull_area


def positive_cells(target: Tensor, centers: Tensor) -> Tensor:
    """(P, 4) cxcywh targets, (N, 2) cell centres -> (P, N) bool; at least the nearest cell."""
    offset = (centers[None] - target[:, None, :2]).abs()
    inside = (offset <= CORE / 2 * target[:, None, 2:]).all(-1)
    nearest = offset.square().sum(-1).argmin(-1, keepdim=True)
    return inside.scatter(1, nearest, True)


def matched_candidate(boxes: Tensor, target: Tensor) -> Tensor:
    """(P, N, 4) and (P, 4) cxcywh -> (P, N) bool: the one closest to the box, by L1 and GIoU.

    What DETR's matching (Carion et al., arXiv:2005.12872) comes to with a single target.
    """
    goal = target[:, None].expand_as(boxes)
    _, giou = iou_and_giou(to_xyxy(boxes), to_xyxy(goal))
    cost = 5 * (boxes - goal).abs().sum(-1) - 2 * giou
    return torch.zeros_like(cost, dtype=torch.bool).scatter(1, cost.argmin(1, keepdim=True), True)


def grounding_loss(
    boxes: Tensor, logits: Tensor, target: Tensor, present: Tensor, centers: Tensor | None
) -> dict[str, Tensor]:
    """Loss terms, each a mean over phrases; their sum (key "total") is what trains.

    Args:
        boxes: (P, N, 4) cxcywh. logits: (P, N). target: (P, 4) cxcywh. present: (P,) bool.
        centers: (N, 2) cell centres, None for candidates without a place of their own.
        All in fractions of the network input.

    `quality` is `quality_focal`; `rank` is a softmax over the cells: of all cells, one of the box's
    must come first; `presence` makes the best cell's logit, the phrase's score, the log-odds that
    its box is right (IoU of 0.5).
    """
    if centers is None:
        positive = matched_candidate(boxes.detach(), target)
    else:
        positive = positive_cells(target, centers)
    positive = positive & present[:, None]
    terms, iou = candidate_terms(boxes, logits, target[:, None].expand_as(boxes), positive.float())
    best, cell = logits.max(1)
    right = (iou.gather(1, cell[:, None]).squeeze(1) >= 0.5) & present
    terms["rank"] = -(
        torch.logsumexp(logits.masked_fill(~positive, -1e4), 1) - torch.logsumexp(logits, 1)
    )[present].sum() / len(logits)
    terms["presence"] = F.binary_cross_entropy_with_logits(best, right.to(best.dtype))
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def box_loss(boxes: Tensor, logits: Tensor, target: Tensor, present: Tensor) -> dict[str, Tensor]:
    """TransVG's (Deng et al., arXiv:2104.08541): L1, summed over the box, and 1 - GIoU, 1 to 1.

    Args:
        boxes: (P, 1, 4) cxcywh. logits: (P, 1). target: (P, 4) cxcywh. present: (P,) bool; the mean
            is over these phrases.
    """
    found, shares = boxes[:, 0], present / present.sum().clamp(min=1)
    _, giou = iou_and_giou(to_xyxy(found), to_xyxy(target))
    terms = {
        "l1": (shares * (found - target).abs().sum(-1)).sum(),
        "giou": (shares * (1 - giou)).sum(),
    }
    # The score has no part in it; processes that share gradients expect one of every parameter.
    return terms | {"total": terms["l1"] + terms["giou"] + 0 * logits.sum()}


def instance_loss(
    boxes: Tensor, logits: Tensor, instances: Tensor, real: Tensor, centers: Tensor
) -> Tensor:
    """How well proposals find everything of the named class, a mean over phrases.

    Args:
        boxes: (P, N, 4) cxcywh. logits: (P, N). centers: (N, 2) cell centres.
        instances: (P, K, 4) cxcywh, what the phrase's noun names; real: (P, K) False = padding.

    A cell in the core of several instances is the smallest one's. Terms as in `grounding_loss`.
    """
    positive = torch.stack([positive_cells(i, centers) for i in instances.unbind(1)], 1)
    positive = positive & real[..., None]  # (P, K, N)
    area = instances[..., 2:].prod(-1, keepdim=True)
    owner = torch.where(positive, area, torch.inf).argmin(1)  # (P, N)
    owned = positive & (
        owner[:, None] == torch.arange(instances.shape[1], device=owner.device)[:, None]
    )
    weight = (owned / owned.sum(2, keepdim=True).clamp(min=1)).sum(1)  # an instance weighs the same
    goal = instances.gather(1, owner[..., None].expand(-1, -1, 4))
    terms, _ = candidate_terms(boxes, logits, goal, weight)
    return torch.stack(list(terms.values())).sum()


def candidate_terms(
    boxes: Tensor, logits: Tensor, goal: Tensor, weight: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Quality and box terms of candidates (P, N), and the IoU with their goals (P, N, 4), detached.

    `weight` (P, N) is above zero for positives, and says how much their boxes count.
    """
    positive = weight > 0
    share = weight / weight.sum(1, keepdim=True).clamp(min=1e-7)  # each phrase weighs the same
    iou, giou = iou_and_giou(to_xyxy(boxes), to_xyxy(goal))
    iou = iou.detach()
    quality = quality_focal(logits, iou.clamp(0, 1) * positive)
    terms = {
        "quality": (quality.sum(1) / positive.sum(1).clamp(min=1).sqrt()).mean(),
        "l1": 5 * (share * (boxes - goal).abs().sum(-1)).sum(1).mean(),
        "giou": 2 * (share * (1 - giou)).sum(1).mean(),
    }
    return terms, iou


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Quality focal loss with beta 2 (Li et al., arXiv:2006.04388), elementwise."""
    focal = (logits.sigmoid().detach() - quality).square()
    return focal * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def naming_loss(names: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of (P, C) logits, 0 standing for "none of them".

    Of (P,) classes that are NONE or more: what a phrase of an UNKNOWN one names nobody said.
    """
    logits = F.pad(names, (1, 0))
    known = classes >= NONE
    each = F.cross_entropy(logits, (classes + 1).clamp(min=0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
