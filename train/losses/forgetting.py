"""What a detector that trains along must not forget: its own answers of before.

As in learning without forgetting (Li and Hoiem, arXiv:1606.09282), the old answers are a second
task beside the new one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.encoders.esnet import NECK_NAMES, ESNet
from train.encoders.vision import frozen
from train.fusion.detections import DetectionHead, LevelOutputs
from train.losses.boxes import quality_focal

SEEN = 0.15
"""Probability of a class from which a place counts as holding something."""
CLASSES, SIDES = 2.0, 0.08
"""Weights of both terms."""


class FrozenDetector(nn.Module):
    """The detector among the vision encoder's weights, as it was before it trained."""

    def __init__(self, net: ESNet, head: DetectionHead) -> None:
        super().__init__()
        self.net, self.head = frozen(net), frozen(head)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[LevelOutputs]:
        """Normalised RGB (B, 3, H, W) -> what it says of each level's places."""
        maps = self.net(images)
        return self.head.predict_levels([maps[name] for name in NECK_NAMES])


def forgetting_loss(now: Sequence[LevelOutputs], before: Sequence[LevelOutputs]) -> Tensor:
    """How far the detector's levels are from those of the detector it started as.

    Class probabilities by quality focal loss (Li et al., arXiv:2006.04388) with the old ones as its
    targets; sides, in strides, where something was seen, weighted with its probability. Both as a
    mean over all that was seen.
    """
    total = seen = now[0].logits.new_zeros(())
    for new, old in zip(now, before, strict=True):
        likely = old.logits.sigmoid()
        total = total + CLASSES * quality_focal(new.logits, likely).sum()
        highest = likely.amax(1, keepdim=True)
        off = (new.sides - old.sides).abs() * highest * (highest > SEEN)
        total = total + SIDES * off.sum()
        seen = seen + likely[likely > SEEN].sum()
    return total / seen.clamp(min=1)
