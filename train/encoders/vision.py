"""Vision encoders: an image in, the taps that side networks read out.

An encoder gives native-size feature maps (what the feature cache stores) and turns them, without
parameters, into taps: token lists (B, N, C_l) on one square grid of N cells. A map that is half as
fine gives N / 4: what reads each cell alone has less to do (`train.encoders.cells.lifted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from train.data.colours import pixel_colours
from train.encoders.cells import to_cells
from train.encoders.esnet import MAP_NAMES, NECK_NAMES, TAP_CHANNELS, TAP_NAMES, ESNet

M = TypeVar("M", bound=nn.Module)

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""On the 0-255 scale, RGB: the compact encoder's."""
COLOUR_PATCH = 4
"""Pixels a side whose mean has one colour; a cell has 4 x 4 of these patches."""


class CompactVision(nn.Module):
    """The default's encoder: `ESNet`, six of its maps brought to stride 16 as taps, and colours."""

    mean: Tensor
    std: Tensor

    stride = 16
    multiple = 32
    """Image sizes must be a multiple of the coarsest map's stride."""
    cls_tokens = 0
    outputs = 3
    """The last taps are the neck's three levels, together the encoder's output."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ESNet()
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        # Stride-8 maps arrive as 2x2 patches: their detail is kept, in four times the channels.
        self.tap_channels = [TAP_CHANNELS[n] * (4 if n in ("c3", "p3") else 1) for n in TAP_NAMES]

    @property
    def stages(self) -> list[tuple[nn.Module, int]]:
        """The last block of each stage, whose output has as many channels as its input."""
        blocks = (self.net.stage1[-1], self.net.stage2[-1], self.net.stage3[-1])
        return [(b, TAP_CHANNELS[name]) for b, name in zip(blocks, TAP_NAMES, strict=False)]

    def features(self, image: Tensor) -> list[Tensor]:
        maps = self.net(image)
        patches = mean_of_blocks(image, COLOUR_PATCH) * self.std + self.mean
        shares = mean_of_blocks(pixel_colours(patches), self.stride // COLOUR_PATCH)
        return [*(maps[name] for name in MAP_NAMES), shares]

    def taps(self, features: list[Tensor]) -> list[Tensor]:
        side = features[TAP_NAMES.index("p4")].shape[-1]
        maps = features[: len(TAP_NAMES)]
        return [to_cells(feature, side) for feature in maps]

    @staticmethod
    def neck(features: Sequence[Tensor]) -> Sequence[Tensor]:
        """Of `features`, what a detection head reads: `NECK_NAMES`."""
        return [features[MAP_NAMES.index(name)] for name in NECK_NAMES]

    @staticmethod
    def colours(features: Sequence[Tensor]) -> Tensor:
        """Of `features`, the share of each cell that has each of `train.data.colours.NAMES`."""
        return features[-1].flatten(2).transpose(1, 2)


def mean_of_blocks(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H / side, W / side).

    As `F.avg_pool2d`, which takes ONNX Runtime three times as long.
    """
    return x.unflatten(2, (-1, side)).mean(3).unflatten(3, (-1, side)).mean(4)


@torch.no_grad()
def frozen(module: M) -> M:
    """`module` with gradients off and in eval mode: no dropout, no batch statistics."""
    return module.requires_grad_(False).eval()
