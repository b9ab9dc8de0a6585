"""UniPT, see `model.py`."""

from train.methods.unipt.model import UniPT

__all__ = ["UniPT"]
