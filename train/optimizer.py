"""AdamW with rates of their own for what is pretrained, and for networks beside the encoders.

Only matrices and kernels decay, norms and biases as `decay_all` says.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import nn

from train.checkpoint import ENCODER_PREFIXES
from train.config import TrainConfig

PRETRAINED = (*ENCODER_PREFIXES, "second_neck.")
"""What `encoder_lr` is for."""
SIDE = re.compile(r"method\.(?!(?:vision\.|text\.)?project[._])")
"""How names of networks beside the encoders begin: their projections to the fusion are the rest."""


def build_optimizer(params: Mapping[str, nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """AdamW of what trains, by name; a rate of 0 until `set_rate`."""
    peaks = {"rest": config.lr, "side": config.side_lr, "encoders": config.encoder_lr}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in params.items():
        beside = config.side_lr > 0 and SIDE.match(name)
        kind = "encoders" if name.startswith(PRETRAINED) else "side" if beside else "rest"
        groups[kind, config.decay_all or parameter.ndim > 1].append(parameter)
    found = [
        {"params": g, "peak": peaks[kind], "weight_decay": config.weight_decay * decays}
        for (kind, decays), g in groups.items()
    ]
    return torch.optim.AdamW(found, lr=0.0, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Learning rates to a share of their peaks."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
