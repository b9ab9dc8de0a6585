"""Fusions by name: what joins visual and text tokens and predicts boxes."""

from __future__ import annotations

from train.fusion.candidates import CandidatesFusion
from train.fusion.transvg import TransVGFusion

CANDIDATES, TRANSVG = "candidates", "transvg"
FUSIONS = (CANDIDATES, TRANSVG)

__all__ = ["CANDIDATES", "FUSIONS", "TRANSVG", "CandidatesFusion", "TransVGFusion"]
