"""M2IST as published, on two transformers: adapters beside every attention and feed-forward.

    a_l, f_l: attention and feed-forward output of frozen layer l;  h = ReLU(W a_l)

    vision    IEA  S_l h                                VEA  0.1 U ReLU(W LN(f_l))
    text      IEA  LN_attn(concat[W' h ; S_l h])        LEA  LN_out(0.1 U ReLU(W LN(f_l)))

Layers are paired from the first on; a deeper encoder's last layers have no adapters.

    V = encoder(x) + sum of the vision adapters + x;  T = encoder(e) + sum of the text adapters + e

S_l is one object in both modalities, the interaction expert; LN_attn and LN_out are the frozen text
encoder's own. W' fills up the text's width where it is larger than the vision encoder's.

Variants: "released" sums adapters that each read frozen activations, as the authors' code does;
"paper" chains them as the paper's figure does: layer l reads its activations plus the sum of all
adapters below. Two defects of the released code are left out on purpose: attention's residual and
LayerNorm applied twice, and modules that nothing reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.encoders.text import TransformersText
from train.encoders.transformer import TransformerVision
from train.methods.m2ist.model import ModalityExpert


class VisionLayer(nn.Module):
    """IEA and VEA of one layer."""

    def __init__(self, channels: int, shared: nn.Linear) -> None:
        super().__init__()
        self.down, self.shared = nn.Linear(channels, shared.in_features), shared
        self.expert = ModalityExpert(channels, shared.in_features, channels)

    def forward(self, attention: Tensor, ffn: Tensor) -> Tensor:
        return self.shared(F.relu(self.down(attention))) + self.expert(ffn)


class TextLayer(nn.Module):
    """IEA and LEA of one layer."""

    def __init__(
        self, channels: int, shared: nn.Linear, norm_attention: nn.Module, norm_out: nn.Module
    ) -> None:
        super().__init__()
        width, bottleneck = shared.out_features, shared.in_features
        self.down, self.shared = nn.Linear(channels, bottleneck), shared
        self.fill = nn.Linear(bottleneck, channels - width) if channels > width else None
        self.expert = ModalityExpert(channels, bottleneck, channels)
        self.norm_attention, self.norm_out = norm_attention, norm_out
        # The LayerNorm that follows would blow up the gradient of a zero start.
        self.expert.up.reset_parameters()

    def forward(self, attention: Tensor, ffn: Tensor) -> Tensor:
        hidden = F.relu(self.down(attention))
        joined = self.shared(hidden)
        if self.fill is not None:
            joined = torch.cat([self.fill(hidden), joined], -1)
        return self.norm_attention(joined) + self.norm_out(self.expert(ffn))


class LayerM2IST(nn.Module):
    """The side network over two encoders whose taps are those of their sublayers.

    The text encoder is at least as wide as the vision encoder.
    """

    def __init__(
        self,
        vision: TransformerVision,
        text: TransformersText,
        dim: int,
        bottleneck: int,
        *,
        chained: bool,
    ) -> None:
        super().__init__()
        self.chained = chained
        self.pairs = min(len(vision.layers), len(text.layers))
        width, text_width = vision.tap_channels[-1], text.tap_channels[-1]
        shared = [nn.Linear(bottleneck, width) for _ in range(self.pairs)]
        self.shared = nn.ModuleList(shared)
        self.vision = nn.ModuleList(VisionLayer(width, s) for s in shared)
        norms = text.norms[: self.pairs]
        self.text = nn.ModuleList(
            TextLayer(text_width, s, *pair) for s, pair in zip(shared, norms, strict=True)
        )
        self.project_vision = nn.Linear(width, dim)
        self.project_text = nn.Linear(text_width, dim)

    def encode_vision(self, taps: Sequence[Tensor]) -> Tensor:
        """Sublayer taps, each (B, N, C) -> visual tokens (B, N, D)."""
        return self.project_vision(self._beside(self.vision, taps))

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Sublayer taps, each (P, L, C) -> text tokens (P, L, D), token by token."""
        return self.project_text(self._beside(self.text, taps))

    def _beside(self, layers: nn.ModuleList, taps: Sequence[Tensor]) -> Tensor:
        """Encoder output + adapters + encoder input."""
        first, *inner, last = taps
        inner = inner[: 2 * self.pairs]
        side = torch.zeros_like(last)
        for layer, attention, ffn in zip(layers, inner[::2], inner[1::2], strict=True):
            below = side if self.chained else 0
            side = side + layer(attention + below, ffn + below)
        return last + side + first
