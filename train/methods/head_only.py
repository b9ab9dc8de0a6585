"""Head only: frozen encoders, a linear projection of each one's last tap, the fusion on top."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class HeadOnly(nn.Module):
    """The baseline without a side network."""

    def __init__(
        self, vision_channels: Sequence[int], text_channels: Sequence[int], dim: int
    ) -> None:
        super().__init__()
        self.vision = nn.Linear(vision_channels[-1], dim)
        self.text = nn.Linear(text_channels[-1], dim)

    def encode_vision(self, taps: Sequence[Tensor]) -> Tensor:
        """Taps, each (B, N, C_l) -> visual tokens (B, N, D)."""
        return self.vision(taps[-1])

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Taps, each (P, L, C_l) -> text tokens (P, L, D). Token by token: needs no `mask`."""
        return self.text(taps[-1])
