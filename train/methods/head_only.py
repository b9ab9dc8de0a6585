"""Head only: a linear projection of each encoder's own output, the fusion on top.

Alone it is the baseline without a side network; with encoders that train, or that hold adapters, it
is the network around them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.encoders.cells import on_one_grid


class HeadOnly(nn.Module):
    """Projections; `vision_channels` are the widths of the taps that are the encoder's output."""

    def __init__(
        self, vision_channels: Sequence[int], text_channels: Sequence[int], dim: int
    ) -> None:
        super().__init__()
        self.outputs = len(vision_channels)
        self.vision = nn.Linear(sum(vision_channels), dim)
        self.text = nn.Linear(text_channels[-1], dim)

    def encode_vision(self, taps: Sequence[Tensor]) -> Tensor:
        """Taps, each (B, N or N / 4, C_l) -> visual tokens (B, N, D)."""
        return self.vision(torch.cat(on_one_grid(taps[-self.outputs :]), -1))

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Taps, each (P, L, C_l) -> text tokens (P, L, D). Token by token: needs no `mask`."""
        return self.text(taps[-1])
