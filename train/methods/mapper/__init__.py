"""MaPPER, see `model.py`."""

from train.methods.mapper.model import MaPPER, guide_text, localise_vision

__all__ = ["MaPPER", "guide_text", "localise_vision"]
