"""M2IST: multi-modal interactive side-tuning (Liu et al., arXiv:2407.01131) on any two encoders.

    frozen vision taps  t_1 ... t_6          frozen text taps  h_1 ... h_6      (no gradient below)
          |     |                                  |     |
         VEA   IEA --- S_l: the same weights --- IEA   LEA                       one set per pair l
          |     |      in both modalities          |     |
          +--+--+                                  +--+--+
             sum over l + projected last tap          sum over l + projected last tap
             visual tokens (B, N, D)                  text tokens (P, L, D)

Each adapter reads a frozen activation and is summed into the output, so a phrase never changes the
visual tokens and no gradient enters an encoder. This is the form for encoders of any widths, with
one tap a layer: the interaction expert IEA(x) = S_l ReLU(W x), the modality experts VEA/LEA(x) =
0.1 U ReLU(W LN(x)). For two transformers `layers.py` has the published form.

Variants: "released" sums adapters that know nothing of each other, "paper" chains them: what the
interaction expert made of the layers below is carried into its hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from train.encoders.cells import lifted, on_one_grid

EXPERT_SCALE = 0.1
"""Weight of the modality experts VEA and LEA, as published."""


class ModalityExpert(nn.Module):
    """VEA or LEA: 0.1 U ReLU(W LN(x)); U starts at zero, so the expert starts as nothing."""

    def __init__(self, channels: int, bottleneck: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.down = nn.Linear(channels, bottleneck)
        self.up = nn.Linear(bottleneck, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return EXPERT_SCALE * self.up(F.relu(self.down(self.norm(x))))


class SideStream(nn.Module):
    """One modality's side network; `shared` holds the interaction weights of both modalities."""

    def __init__(
        self, channels: Sequence[int], shared: Sequence[nn.Linear], dim: int, *, chained: bool
    ) -> None:
        super().__init__()
        self.chained = chained
        bottleneck = shared[0].in_features
        self.project = nn.Linear(channels[-1], dim)
        self.down = nn.ModuleList(nn.Linear(c, bottleneck) for c in channels)
        self.experts = nn.ModuleList(ModalityExpert(c, bottleneck, dim) for c in channels)
        self.shared = nn.ModuleList(shared)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        count = max(tap.shape[1] for tap in taps)
        out = lifted(self.project(taps[-1]), count)
        below: Tensor | None = None
        for tap, down, up, expert in zip(taps, self.down, self.shared, self.experts, strict=True):
            hidden = F.relu(down(tap) if below is None else down(tap) + below)
            out = out + lifted(up(hidden) + expert(tap), count)
            below = hidden if self.chained else None
        return out


class M2IST(nn.Module):
    """The two side streams with shared interaction experts S_l."""

    def __init__(
        self,
        vision_channels: Sequence[int],
        text_channels: Sequence[int],
        dim: int,
        bottleneck: int,
        *,
        chained: bool,
    ) -> None:
        super().__init__()
        pairs = min(len(vision_channels), len(text_channels))
        self.pairs = pairs
        shared = [nn.Linear(bottleneck, dim) for _ in range(pairs)]
        self.vision = SideStream(vision_channels[-pairs:], shared, dim, chained=chained)
        self.text = SideStream(text_channels[-pairs:], shared, dim, chained=chained)

    def encode_vision(self, taps: Sequence[Tensor]) -> Tensor:
        """Taps, each (B, N or N / 4, C_l) -> visual tokens (B, N, D)."""
        taps = taps[-self.pairs :]
        return self.vision(on_one_grid(taps) if self.vision.chained else taps)

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Taps, each (P, L, C_l) -> text tokens (P, L, D). Token by token: needs no `mask`."""
        return self.text(taps[-self.pairs :])
