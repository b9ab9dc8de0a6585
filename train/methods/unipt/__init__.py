"""UniPT for two streams, see `model.py`; for a joint encoder-decoder, see `joint.py`."""

from train.methods.unipt.joint import JointInputs, JointUniPT
from train.methods.unipt.model import UniPT

__all__ = ["JointInputs", "JointUniPT", "UniPT"]
