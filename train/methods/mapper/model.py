"""MaPPER: prior-guided tuning (Liu et al., arXiv:2409.13609) with a prior that is really loaded.

    image -> frozen vision encoder           phrase -> frozen prior --> one prior token a word piece
               | LoCA in three blocks           |                          |
               |                             frozen text encoder <- DyPA --+  in three layers
            projection                          |                          |
               |                             PGT: Linear [text ; prior] <--+
               |                                |
               |                             projection
             visual tokens (B, N, D)         text tokens (P, L, D)

Gradients pass through both encoders: few parameters train, memory is not saved. LoCA adds
convolutions of two sizes to patch tokens; DyPA scales an adapter token by token with what the prior
says; PGT (prior-guided text) joins both texts. What the prior is and how its tokens meet the text
encoder's is decided in `prior.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertModel

from train.encoders.colour_words import ColourWords
from train.encoders.text import TransformersText
from train.encoders.transformer import ViT
from train.encoders.vision import CompactVision
from train.methods.head_only import HeadOnly
from train.methods.mapper.prior import Prior

LOCA_SCALE = 0.2
"""Weight of LoCA's output, as published."""
BATCH_NORM_EPS = 1e-3
DYPA_WIDTH = 32


def thirds(count: int) -> list[int]:
    """Indices of the last layers of each third: 3, 7, 11 of 12; every layer of fewer than three."""
    return sorted({max(0, part * count // 3 - 1) for part in (1, 2, 3)})


def conv_bn(cin: int, cout: int, kernel: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2)
    return nn.Sequential(conv, nn.BatchNorm2d(cout, BATCH_NORM_EPS), nn.ReLU())


class LoCA(nn.Module):
    """Local convolution adapter: 1x1 and 3x3 convolutions over a narrow map of the patches.

    Tokens (B, K + N, C), the first K = `cls_tokens` of which are no patches, -> the same shape. The
    widths are the paper's (288, 192, 96 and 24 for C = 768) in proportion to C. The last layer
    starts at zero: the encoder starts as it was.
    """

    def __init__(self, channels: int, cls_tokens: int) -> None:
        super().__init__()
        unit = max(1, channels // 32)
        self.cls_tokens = cls_tokens
        self.down = nn.Linear(channels, 12 * unit)
        self.wide = conv_bn(12 * unit, 8 * unit, 1)
        self.local = nn.Sequential(conv_bn(12 * unit, unit, 1), conv_bn(unit, 4 * unit, 3))
        self.up = nn.Linear(12 * unit, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        narrow = F.relu(self.down(tokens))
        cls, patches = narrow[:, : self.cls_tokens], narrow[:, self.cls_tokens :]
        side = round(patches.shape[1] ** 0.5)
        image = patches.transpose(1, 2).unflatten(2, (side, side))
        mixed = torch.cat([self.wide(image), self.local(image)], 1).flatten(2).transpose(1, 2)
        return self.up(torch.cat([cls, mixed], 1) + narrow)


def add_loca(adapter: LoCA, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook: a block's output, tokens or a map, plus what LoCA makes of its input."""
    x = args[0]
    if x.dim() == 3:
        return output + LOCA_SCALE * adapter(x)
    change = adapter(x.flatten(2).transpose(1, 2)).transpose(1, 2)
    return output + LOCA_SCALE * change.reshape(output.shape)


def localise_vision(vision: nn.Module) -> None:
    """Put LoCA beside the feed-forward of three blocks; a convolutional encoder has three stages.

    Raises:
        ValueError: an encoder without such blocks.
    """
    if isinstance(vision, CompactVision):
        places = [(stage, channels, 0) for stage, channels in vision.stages]
    elif isinstance(vision, ViT):
        width, cls_tokens = vision.tap_channels[-1], vision.inner_cls_tokens
        chosen = [vision.layers[index].ffn for index in thirds(len(vision.layers))]
        places = [(ffn, width, cls_tokens) for ffn in chosen]
    else:
        raise ValueError("MaPPER: expected the compact encoder or a ViT, got DETR's encoder")
    adapters = [LoCA(channels, cls_tokens) for _, channels, cls_tokens in places]
    vision.loca = nn.ModuleList(adapters)
    for adapter, (module, _, _) in zip(adapters, places, strict=True):
        module.register_forward_hook(partial(add_loca, adapter))


class DyPA(nn.Module):
    """Dynamic prior adapter: a bottleneck whose output the prior scales, token by token.

    The published parameter count holds one layer more than the published formula, of the prior's
    width to the bottleneck's; here it lets the prior into the bottleneck. It and the last layer
    start at zero.
    """

    def __init__(self, channels: int, prior: int) -> None:
        super().__init__()
        self.norm_prior, self.scale = nn.LayerNorm(prior), nn.Linear(prior, 1)
        self.norm, self.down = nn.LayerNorm(channels), nn.Linear(channels, DYPA_WIDTH)
        self.guide = nn.Linear(prior, DYPA_WIDTH)
        self.up = nn.Linear(DYPA_WIDTH, channels)
        for layer in (self.guide, self.up):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, prior: Tensor) -> Tensor:
        """Tokens (P, L, C) and the prior's (P, L, S) -> what to add, (P, L, C)."""
        prior = self.norm_prior(prior)
        hidden = F.relu(self.down(self.norm(tokens)) + self.guide(prior))
        return F.relu(self.scale(prior)) * self.up(hidden)


class GuidedText(nn.Module):
    """A text encoder with DyPA in three layers; taps: its last output and the prior's tokens."""

    def __init__(self, text: TransformersText, prior: Prior) -> None:
        super().__init__()
        self.encoder, self.prior = text, prior
        channels = text.tap_channels[-1]
        self.tap_channels = [channels, prior.width]
        layers = text.net.encoder.layer
        adapters = {i: DyPA(channels, prior.width) for i in thirds(len(layers))}
        self.dypa = nn.ModuleList(adapters.values())
        self._told: Tensor | None = None
        for index, adapter in adapters.items():
            output = layers[index].get_submodule("output")
            output.register_forward_hook(partial(self._add, adapter))

    @property
    def net(self) -> BertModel:
        """The encoder's own network."""
        return self.encoder.net

    @property
    def colour_words(self) -> ColourWords | None:
        """The encoder's own."""
        return self.encoder.colour_words

    def _add(self, adapter: DyPA, module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        # A layer's `output` takes (feed-forward, attention output); nothing is told to the prior's
        # own pass through the same encoder.
        return None if self._told is None else output + adapter(args[1], self._told)

    def taps(
        self, input_ids: Tensor, attention_mask: Tensor, *prior_inputs: Tensor
    ) -> list[Tensor]:
        """(P, L) ids and mask (1 = token) -> [(P, L, C), (P, L, S)]."""
        with torch.no_grad():
            prior = self.prior(self.encoder, input_ids, attention_mask, *prior_inputs)
        self._told = prior
        try:
            return [self.encoder.taps(input_ids, attention_mask)[-1], prior]
        finally:
            self._told = None


def guide_text(text: TransformersText, prior: Prior) -> GuidedText:
    """The encoder with DyPA and a prior; neither of the two trains."""
    text.requires_grad_(False)
    prior.requires_grad_(False)
    return GuidedText(text, prior)


class MaPPER(HeadOnly):
    """PGT and the projections to the fusion's width; text taps are [text, prior]."""

    def __init__(
        self, vision_channels: Sequence[int], text_channels: Sequence[int], dim: int
    ) -> None:
        text, prior = text_channels
        super().__init__(vision_channels, [text], dim)
        self.pgt = nn.Linear(text + prior, text)

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """[(P, L, C), (P, L, S)] -> text tokens (P, L, D). Token by token: needs no `mask`."""
        return self.text(self.pgt(torch.cat(list(taps), -1)))
