"""MaPPER, see `model.py`."""

from train.methods.mapper.model import GuidedText, MaPPER, guide_text, localise_vision

__all__ = ["GuidedText", "MaPPER", "guide_text", "localise_vision"]
