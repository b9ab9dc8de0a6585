"""ESNet backbone with a CSP-PAN neck: the compact vision encoder of the default model.

Architecture of PP-PicoDet-S (Yu et al., "PP-PicoDet: A Better Real-Time Object Detector on Mobile
Devices", arXiv:2111.00902), without its detection head (`fusion/detections.py` is one):

    image -> stem /4 -> stage 1 /8 (c3) -> stage 2 /16 (c4) -> stage 3 /32 (c5)
                             |                  |                   |
                             +---- CSP-PAN, 96 channels a level ----+--> p3 /8, p4 /16, p5 /32
                                                             and n5 /32, what the neck reads of c5

Every convolution has a bias and no batch norm: the network starts from inference weights, where
normalisation is already folded in (see `picodet.py`).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAP_NAMES = ("c3", "c4", "c5", "p3", "p4", "p5")
NECK_NAMES = ("p3", "p4", "p5", "n5")
"""What a detection head reads."""
MAP_NAMES = (*TAP_NAMES, "n5")
"""All maps."""
NECK = 96
TAP_CHANNELS = {"c3": 96, "c4": 192, "c5": 384, "p3": NECK, "p4": NECK, "p5": NECK}


def conv(cin: int, cout: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A padded convolution, followed by hard-swish."""
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2), nn.Hardswish())


def depthwise(channels: int, kernel: int, stride: int = 1, *, act: bool) -> nn.Sequential:
    """A depthwise convolution, followed by hard-swish if `act`."""
    layer = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels)
    return nn.Sequential(layer, nn.Hardswish()) if act else nn.Sequential(layer)


class SqueezeExcite(nn.Module):
    """Channel gate from the global average (Hu et al., arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(gate))))


def channel_shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels (B, C, H, W)."""
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class Block(nn.Module):
    """Stride-1 ES block: one half passes through, the other is transformed, then shuffled."""

    def __init__(self, channels: int, mid: int) -> None:
        super().__init__()
        half = channels // 2
        self.pointwise = conv(half, mid)
        self.depthwise = depthwise(mid, 3, act=False)
        self.se = SqueezeExcite(2 * mid)
        self.linear = conv(2 * mid, half)

    def forward(self, x: Tensor) -> Tensor:
        keep, change = x.chunk(2, dim=1)
        change = self.pointwise(change)
        change = torch.cat([change, self.depthwise(change)], dim=1)
        return channel_shuffle(torch.cat([keep, self.linear(self.se(change))], dim=1))


class DownBlock(nn.Module):
    """Stride-2 ES block: two branches, concatenated and mixed."""

    def __init__(self, cin: int, mid: int, cout: int) -> None:
        super().__init__()
        half = cout // 2
        self.left = nn.Sequential(depthwise(cin, 3, 2, act=False), conv(cin, half))
        self.right_in = nn.Sequential(conv(cin, mid), depthwise(mid, 3, 2, act=False))
        self.right_se = SqueezeExcite(mid)
        self.right_out = conv(mid, half)
        self.mix = nn.Sequential(depthwise(cout, 3, act=True), conv(cout, cout))

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        right = self.right_out(self.right_se(self.right_in(x)))
        return self.mix(torch.cat([left, right], dim=1))


class CSPLayer(nn.Module):
    """Cross-stage-partial fusion of two concatenated levels, 5x5 depthwise inside."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        half = cout // 2
        self.short = conv(cin, half)
        self.main = conv(cin, half)
        self.block = nn.Sequential(conv(half, half), depthwise(half, 5, act=True), conv(half, half))
        self.out = conv(2 * half, cout)

    def forward(self, x: Tensor) -> Tensor:
        short = self.short(x)
        return self.out(torch.cat([self.block(self.main(x)), short], dim=1))


def downsample(channels: int) -> nn.Sequential:
    """Depthwise-separable stride-2 step of the bottom-up path."""
    return nn.Sequential(depthwise(channels, 5, 2, act=True), conv(channels, channels))


class CSPPAN(nn.Module):
    """Top-down then bottom-up fusion of c3, c4, c5 into p3, p4, p5; n5 is c5 in its width."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral3 = conv(TAP_CHANNELS["c3"], NECK)
        self.lateral4 = conv(TAP_CHANNELS["c4"], NECK)
        self.lateral5 = conv(TAP_CHANNELS["c5"], NECK)
        self.top_down4 = CSPLayer(2 * NECK, NECK)
        self.top_down3 = CSPLayer(2 * NECK, NECK)
        self.down3 = downsample(NECK)
        self.bottom_up4 = CSPLayer(2 * NECK, NECK)
        self.down4 = downsample(NECK)
        self.bottom_up5 = CSPLayer(2 * NECK, NECK)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c3, c4, c5 = self.lateral3(c3), self.lateral4(c4), self.lateral5(c5)
        t4 = self.top_down4(torch.cat([F.interpolate(c5, scale_factor=2.0), c4], dim=1))
        p3 = self.top_down3(torch.cat([F.interpolate(t4, scale_factor=2.0), c3], dim=1))
        p4 = self.bottom_up4(torch.cat([self.down3(p3), t4], dim=1))
        p5 = self.bottom_up5(torch.cat([self.down4(p4), c5], dim=1))
        return p3, p4, p5, c5


class SecondNeck(nn.Module):
    """The neck's strides 16 and 32 once more, to train beside the frozen one, which it starts as.

    Its stride 8 stays the frozen neck's: three quarters of a neck's work are there.
    """

    def __init__(self, neck: CSPPAN) -> None:
        super().__init__()
        neck = copy.deepcopy(neck).requires_grad_(True)
        self.lateral4, self.lateral5 = neck.lateral4, neck.lateral5
        self.top_down4, self.down3 = neck.top_down4, neck.down3
        self.bottom_up4, self.down4, self.bottom_up5 = neck.bottom_up4, neck.down4, neck.bottom_up5

    def forward(self, c4: Tensor, c5: Tensor, p3: Tensor) -> tuple[Tensor, Tensor]:
        """-> p4, p5."""
        c4, c5 = self.lateral4(c4), self.lateral5(c5)
        t4 = self.top_down4(torch.cat([F.interpolate(c5, scale_factor=2.0), c4], dim=1))
        p4 = self.bottom_up4(torch.cat([self.down3(p3), t4], dim=1))
        return p4, self.bottom_up5(torch.cat([self.down4(p4), c5], dim=1))


class ESNet(nn.Module):
    """Image (B, 3, H, W), H and W divisible by 32, to the maps named in `MAP_NAMES`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 24, 3, 2)
        self.stage1 = nn.Sequential(DownBlock(24, 44, 96), Block(96, 24), Block(96, 24))
        middle = [Block(192, mid) for mid in (60, 48, 60, 48, 48, 48)]
        self.stage2 = nn.Sequential(DownBlock(96, 48, 192), *middle)
        self.stage3 = nn.Sequential(DownBlock(192, 96, 384), Block(384, 96), Block(384, 96))
        self.neck = CSPPAN()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = F.max_pool2d(self.stem(image), 3, 2, 1)
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        c5 = self.stage3(c4)
        p3, p4, p5, n5 = self.neck(c3, c4, c5)
        return {"c3": c3, "c4": c4, "c5": c5, "p3": p3, "p4": p4, "p5": p5, "n5": n5}
