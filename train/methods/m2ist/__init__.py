"""M2IST, see `model.py`."""

from train.methods.m2ist.model import M2IST

__all__ = ["M2IST"]
