"""AdamW with a rate of its own for what is pretrained: encoders and a second neck."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from train.checkpoint import ENCODER_PREFIXES
from train.config import TrainConfig


def build_optimizer(params: Mapping[str, nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """AdamW of what trains, by name; a rate of 0 until `set_rate`."""
    pretrained = (*ENCODER_PREFIXES, "second_neck.")
    encoders = [p for n, p in params.items() if n.startswith(pretrained)]
    rest = [p for n, p in params.items() if not n.startswith(pretrained)]
    groups = [{"params": rest, "peak": config.lr}, {"params": encoders, "peak": config.encoder_lr}]
    groups = [g for g in groups if g["params"]]
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Learning rates to a share of their peaks."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
