"""Memory for time: what a part computes is dropped and computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def run(function: Callable[..., Any], *inputs: Any, recompute: bool) -> Any:
    """`function(*inputs)`; with `recompute` only tensors among `inputs` are kept for backward.

    Chen et al., arXiv:1604.06174. Gradients are the same, dropout included.
    """
    if recompute and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)
    return function(*inputs)
