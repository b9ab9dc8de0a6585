"""Tuning methods by name. A method turns encoder taps into tokens and says what may train."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from train.methods.head_only import HeadOnly
from train.methods.m2ist.model import M2IST
from train.methods.unipt.model import UniPT

METHODS = ("m2ist", "unipt", "head_only", "full")
"""`full` is head_only's network with both encoders training: the reference."""


def build_method(
    name: str,
    vision_channels: Sequence[int],
    text_channels: Sequence[int],
    dim: int,
    bottleneck: int,
) -> nn.Module:
    """The named method's joining network.

    Raises:
        ValueError: unknown name.
    """
    if name == "m2ist":
        return M2IST(vision_channels, text_channels, dim, bottleneck)
    if name == "unipt":
        return UniPT(vision_channels, text_channels, dim, bottleneck)
    if name in ("head_only", "full"):
        return HeadOnly(vision_channels, text_channels, dim)
    raise ValueError(f"--method: expected one of {', '.join(METHODS)}, got {name!r}")


__all__ = ["M2IST", "METHODS", "HeadOnly", "UniPT", "build_method"]
