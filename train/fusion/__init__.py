"""Fusions by name: what joins visual and text tokens and predicts boxes."""

from __future__ import annotations

from train.fusion.base import Fusion
from train.fusion.candidates import CandidatesFusion
from train.fusion.transvg import TransVGFusion

CANDIDATES, TRANSVG = "candidates", "transvg"
FUSIONS = (CANDIDATES, TRANSVG)


def build_fusion(
    name: str,
    dim: int,
    layers: int,
    grid: int,
    visual_tokens: int,
    text_tokens: int,
    *,
    detecting: bool,
) -> Fusion:
    """The named fusion for `visual_tokens` tokens, of which grid * grid are cells of the image.

    Args:
        detecting: a detector's boxes come with the visual tokens; for the candidates fusion.

    Raises:
        ValueError: unknown name.
    """
    if name == CANDIDATES:
        return CandidatesFusion(dim, grid, detecting=detecting)
    if name == TRANSVG:
        return TransVGFusion(dim, visual_tokens, text_tokens, layers)
    raise ValueError(f"--fusion: expected one of {', '.join(FUSIONS)}, got {name!r}")


__all__ = ["CANDIDATES", "FUSIONS", "TRANSVG", "CandidatesFusion", "TransVGFusion", "build_fusion"]
