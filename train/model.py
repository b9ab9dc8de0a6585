"""A grounding model: two encoders, the method that joins them, the fusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.encoders.text import TransformersText
from train.encoders.vision import CompactVision
from train.fusion import DenseFusion
from train.methods import build_method


class GroundingModel(nn.Module):
    """`encode_vision(image)`, `encode_text(tokens)`, `fuse(visual, text)`: the three graphs.

    Learned 2-D positions are added on the visual side, once a frame. Nothing that `encode_vision`
    computes depends on the phrase.
    """

    def __init__(
        self,
        vision: CompactVision,
        text: TransformersText,
        *,
        method: str,
        image_size: int,
        dim: int,
        bottleneck: int,
        layers: int,
    ) -> None:
        super().__init__()
        grid = image_size // vision.stride
        self.vision, self.text = vision, text
        self.method = build_method(method, vision.tap_channels, text.tap_channels, dim, bottleneck)
        self.positions = nn.Parameter(torch.zeros(1, grid * grid, dim))
        nn.init.normal_(self.positions, std=0.02)
        self.fusion = DenseFusion(dim, grid, layers)

    def encode_vision(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> visual tokens (B, N, D)."""
        return self.join_vision(self.vision.features(image))

    def join_vision(self, features: Sequence[Tensor]) -> Tensor:
        """Kept feature maps -> visual tokens (B, N, D): the trained part of `encode_vision`."""
        return self.method.encode_vision(self.vision.taps(list(features))) + self.positions

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(P, L) ids and mask -> text tokens (P, L, D)."""
        taps = self.text.taps(input_ids, attention_mask)
        return self.method.encode_text(taps, attention_mask.bool())

    def fuse(self, visual: Tensor, text: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Visual tokens (1 or P, N, D), text tokens (P, L, D) -> boxes (P, N, 4), logits (P, N)."""
        return self.fusion(visual, text, attention_mask.bool())

    def adapter_params(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of everything that trains: what a checkpoint holds."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}
