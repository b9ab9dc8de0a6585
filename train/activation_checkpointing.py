"""Activation checkpointing (Chen et al., arXiv:1604.06174): less memory for more time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def run(function: Callable[..., Any], *inputs: Any, checkpointing: bool) -> Any:
    """`function(*inputs)`; with `checkpointing` its activations are computed again for backward.

    Gradients are the same, dropout included.
    """
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)
    return function(*inputs)
