"""Precision for time: float32 products in bfloat16."""

from __future__ import annotations

import torch
from torch.utils.benchmark import Timer

FAST_MATH = ("auto", "on", "off")
PAYS_FROM = 1.3
"""Least speed-up of a bfloat16 product. Processors without units for it imitate it, at 0.1 to 1."""


def chosen_fast_math(choice: str, device: torch.device) -> bool:
    """What `TrainConfig.fast_math` means on a device; "auto" measures it, in 0.1 s."""
    if choice != "auto":
        return choice == "on"
    exact = torch.ones(512, 512, device=device)
    return product_seconds(exact) >= PAYS_FROM * product_seconds(exact.bfloat16())


def product_seconds(matrix: torch.Tensor) -> float:
    """Median time of `matrix @ matrix`."""
    timer = Timer("m @ m", globals={"m": matrix}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=0.05).median


def use_fast_math(enabled: bool) -> None:
    """Let float32 products run in bfloat16 inside, for the whole process."""
    torch.set_float32_matmul_precision("medium" if enabled else "highest")
    torch.backends.mkldnn.conv.fp32_precision = (  # type: ignore[attr-defined]
        "bf16" if enabled else "ieee"
    )
    torch.backends.cudnn.allow_tf32 = enabled
