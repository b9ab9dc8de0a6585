"""Learning from a trained model's answers beside the labels.

A label says one box of one phrase; a trained model says of every cell what it thinks of it, of
augmented photos as well. It is asked about phrases that nobody labelled: `data/borrowed.py`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from train.build import build_model
from train.checkpoint import (
    CheckpointError,
    check_frozen,
    frozen_sha256,
    load_checkpoint,
    load_parameters,
)
from train.config import TrainConfig
from train.losses import iou_and_giou, to_xyxy
from train.model import GroundingModel


def load_teacher(
    config: TrainConfig, student: GroundingModel, device: torch.device
) -> GroundingModel | None:
    """The model of `config.teacher` with its averaged weights, or None when there is none.

    Teacher and student read the same frozen encoders, run once, and answer for the same cells.

    Raises:
        CheckpointError: no checkpoint, or one with other encoders or candidates.
        ValueError, OSError: an encoder's weights cannot be had.
    """
    if not config.teacher:
        return None
    path = Path(config.teacher)
    groups, settings, state = load_checkpoint(path)
    check_frozen(frozen_sha256(student), state, path)
    teacher = build_model(settings)
    asked, answers = (model.fusion.centers for model in (student, teacher))
    if asked is None or answers is None or not torch.equal(asked.cpu(), answers):
        raise CheckpointError(
            f"{path} answers for other candidates than the model that trains; expected a teacher "
            f"with cells of its own, at --image-size {config.image_size}"
        )
    load_parameters(teacher, groups["average"])
    teacher.eval()
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
