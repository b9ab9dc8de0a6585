"""Learning from a trained model's answers beside the labels.

A label says one box of one phrase; a trained model says of every cell what it thinks of it, for
absent things too, and of augmented photos as well.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from train.build import build_model
from train.checkpoint import check_frozen, load_checkpoint, load_parameters
from train.config import TrainConfig
from train.losses import iou_and_giou, to_xyxy
from train.model import GroundingModel


def load_teacher(config: TrainConfig, frozen: str, device: torch.device) -> GroundingModel | None:
    """The model of `config.teacher` with its averaged weights, or None when there is none.

    `frozen` is the student's `frozen_sha256`: both read the same frozen encoders, run once.

    Raises:
        CheckpointError: no checkpoint, or one trained on other encoders.
        ValueError, OSError: an encoder's weights cannot be had.
    """
    if not config.teacher:
        return None
    path = Path(config.teacher)
    groups, settings, state = load_checkpoint(path)
    check_frozen(frozen, state, path)
    teacher = build_model(settings)
    load_parameters(teacher, groups["average"])
    teacher.learning(False)
    return teacher.requires_grad_(False).to(device)


def distillation_loss(
    boxes: Tensor, logits: Tensor, teacher_boxes: Tensor, teacher_logits: Tensor
) -> Tensor:
    """How far (P, N, 4) cxcywh boxes and (P, N) logits are from a teacher's of the same cells.

    Which cell comes first (Hinton et al., arXiv:1503.02531), how sure the best one is, and the
    boxes of the cells that the teacher would choose, as far as it believes in them.
    """
    chosen = teacher_logits.softmax(1)
    first = F.kl_div(logits.log_softmax(1), chosen, reduction="batchmean")
    sure = teacher_logits.amax(1).sigmoid()
    presence = F.binary_cross_entropy_with_logits(logits.amax(1), sure)
    _, giou = iou_and_giou(to_xyxy(boxes), to_xyxy(teacher_boxes))
    apart = 5 * (boxes - teacher_boxes).abs().sum(-1) + 2 * (1 - giou)
    return first + presence + (sure * (chosen * apart).sum(1)).mean()
