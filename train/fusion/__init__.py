"""Fusions by name: what joins visual and text tokens and predicts boxes."""

from __future__ import annotations

from torch import nn

from train.fusion.candidates import CandidatesFusion
from train.fusion.comparing import ComparingFusion
from train.fusion.decoder import DecoderFusion
from train.fusion.dense import DenseFusion
from train.fusion.transvg import TransVGFusion

FUSIONS = ("candidates", "comparing", "decoder", "dense", "transvg")
DETECTING_FUSIONS = ("candidates", "comparing")
"""Those that read a detector's boxes behind the visual tokens."""


def build_fusion(
    name: str, dim: int, layers: int, grid: int, visual_tokens: int, text_tokens: int
) -> nn.Module:
    """The named fusion for `visual_tokens` tokens, of which grid * grid are cells of the image.

    Raises:
        ValueError: unknown name.
    """
    if name == "candidates":
        return CandidatesFusion(dim, grid)
    if name == "comparing":
        return ComparingFusion(dim, grid, layers)
    if name == "decoder":
        return DecoderFusion(dim, grid, layers)
    if name == "dense":
        return DenseFusion(dim, grid, layers)
    if name == "transvg":
        return TransVGFusion(dim, visual_tokens, text_tokens, layers)
    raise ValueError(f"--fusion: expected one of {', '.join(FUSIONS)}, got {name!r}")


__all__ = [
    "DETECTING_FUSIONS",
    "FUSIONS",
    "CandidatesFusion",
    "ComparingFusion",
    "DecoderFusion",
    "DenseFusion",
    "TransVGFusion",
    "build_fusion",
]
