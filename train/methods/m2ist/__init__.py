"""M2IST, see `model.py`; on two transformers, as published, see `layers.py`."""

from train.methods.m2ist.layers import LayerM2IST
from train.methods.m2ist.model import M2IST

__all__ = ["M2IST", "LayerM2IST"]
