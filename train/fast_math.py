"""Precision for time: float32 products in bfloat16."""

from __future__ import annotations

import torch


def use_fast_math(enabled: bool) -> None:
    """Let float32 products run in bfloat16 inside, for the whole process."""
    torch.set_float32_matmul_precision("medium" if enabled else "highest")
    torch.backends.mkldnn.conv.fp32_precision = "bf16" if enabled else "ieee"
    torch.backends.cudnn.allow_tf32 = enabled
