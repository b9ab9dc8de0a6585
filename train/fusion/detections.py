"""A detector in the side network: what it sees of the class that a phrase names, told to the cells.

    neck maps of the frozen encoder -> head: classes and boxes of every place, once a frame
    words of the phrase             -> which of the classes they name
                                       places whose class that is -> how much, and their boxes

The head is PicoDet's (Yu et al., arXiv:2111.00902), with its strides 8, 16, 32 and 64. All places
are brought to the grid of the fusion: a cell has seven, four of stride 8 and one of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdk.bundle.contract import CLASSES, PLACES
from train.encoders.cells import to_cells
from train.encoders.esnet import NECK, conv, depthwise, downsample
from train.fusion.layers import (
    highest_of_words,
    pairwise_iou,
    starting_at_zero,
    taken,
    taken_of_frame,
)

BINS = 8
"""A distance is the mean of a distribution over 0, 1, ... 7 steps of its stride."""
POOL = 48
"""Places among which the best boxes are looked for."""
SAME = 0.7
"""IoU from which two boxes are of one thing."""
COVERED = 1 - 1e-3
"""What a box that overlaps a better one loses of its rank."""


class LevelOutputs(NamedTuple):
    """What the head predicts on one level."""

    logits: Tensor
    """(B, CLASSES, h, w)."""
    sides: Tensor
    """(B, 4, h, w), from the middle of the cell to the left, top, right and bottom edge of the box,
    in steps of the level's stride."""


class LevelHead(nn.Sequential):
    """One level's map -> class logits and the bins of four distances (B, CLASSES + 4 BINS, ...)."""

    def __init__(self) -> None:
        layers = [layer for _ in range(2) for layer in separable()]
        super().__init__(*layers, nn.Conv2d(NECK, CLASSES + 4 * BINS, 1))


def separable() -> list[nn.Module]:
    """A 5x5 depthwise and a 1x1 convolution, each with its activation."""
    return [*depthwise(NECK, 5, act=True), *conv(NECK, NECK)]


class DetectionHead(nn.Module):
    """Neck maps p3, p4, p5 and the neck's input of stride 32 -> what is seen at every place."""

    moments: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.down_in, self.down_out = downsample(NECK), downsample(NECK)
        self.levels = nn.ModuleList(LevelHead() for _ in range(4))
        moments = torch.stack([torch.ones(BINS), torch.arange(BINS).float()])
        self.register_buffer("moments", moments, persistent=False)

    def predict_levels(self, maps: Sequence[Tensor]) -> list[LevelOutputs]:
        """Neck maps -> predictions on strides 8, 16, 32 and 64."""
        p3, p4, p5, input5 = maps
        p6 = self.down_in(input5) + self.down_out(p5)
        levels = []
        for head, level in zip(self.levels, (p3, p4, p5, p6), strict=True):
            logits, bins = head(level).split([CLASSES, 4 * BINS], dim=1)
            levels.append(LevelOutputs(logits, self.mean_steps(bins.unflatten(1, (4, BINS)))))
        return levels

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """`by_cells` of `predict_levels`."""
        return self.by_cells(self.predict_levels(maps))

    def by_cells(self, levels: Sequence[LevelOutputs]) -> Tensor:
        """(B, N, PLACES * (CLASSES + 4)): probabilities and box of a cell's places, cell by cell.

        Boxes are cxcywh, fractions of the network input.
        """
        finest = levels[0].logits.shape[-1]
        d3, d4, d5, d6 = (
            torch.cat([logits.sigmoid(), as_boxes(sides, 2**level / finest)], dim=1)
            for level, (logits, sides) in enumerate(levels)
        )
        side = d4.shape[-1]
        halves = F.interpolate(d5, scale_factor=2.0)
        whole = F.interpolate(d6, scale_factor=4.0)[:, :, :side, :side]  # may end beyond the image
        return torch.cat([to_cells(level, side) for level in (d3, d4, halves, whole)], dim=-1)

    def mean_steps(self, logits: Tensor) -> Tensor:
        """(B, 4, BINS, h, w) of distributions over BINS steps -> their means (B, 4, h, w).

        A softmax over an axis that is not the last takes ONNX Runtime ten times as long.
        """
        shares = (logits - logits.amax(2, keepdim=True)).exp()
        total, summed = (self.moments @ shares.flatten(3)).unbind(2)
        return (summed / total).unflatten(2, logits.shape[3:])


def as_boxes(sides: Tensor, step: float) -> Tensor:
    """Distances (B, 4, h, h) in steps of the map -> cxcywh (B, 4, h, h), fractions of the image."""
    left, top, right, bottom = (sides * step).unbind(1)
    ticks = (torch.arange(sides.shape[-1], device=sides.device) + 0.5) * step
    x, y = ticks + (right - left) / 2, ticks[:, None] + (bottom - top) / 2
    return torch.stack([x, y, left + right, top + bottom], dim=1)


class NamedHits(NamedTuple):
    """Which of a detector's places hold what a phrase names."""

    told: Tensor
    """(P, N, D), to be added to the cells."""
    classes: Tensor
    """(P, CLASSES) logits: how much the words name each class."""
    named: Tensor
    """(P, CLASSES) probabilities of the same; what is left of one is for none of them."""
    seen: Tensor
    """(P, N) the highest probability that a place of the cell holds what is named."""
    cells: Tensor
    """(P, K) cells of the best boxes."""
    boxes: Tensor
    """(P, K, 4) cxcywh of the best boxes, no two of one thing."""
    hits: Tensor
    """(P, K) probabilities that they hold what is named."""

    @property
    def known(self) -> Tensor:
        """(P, 1) probability that the phrase names one of the classes at all."""
        return self.named.sum(-1, keepdim=True)


def nothing_named(text: Tensor, cells: int) -> NamedHits:
    """What there is without a detector, for text tokens (P, L, D)."""
    phrases = text.shape[0]
    return NamedHits(
        told=text.new_zeros(phrases, 1, 1),
        classes=text.new_zeros(phrases, 0),
        named=text.new_zeros(phrases, 0),
        seen=text.new_zeros(phrases, cells),
        cells=torch.zeros(phrases, 0, dtype=torch.long, device=text.device),
        boxes=text.new_zeros(phrases, 0, 4),
        hits=text.new_zeros(phrases, 0),
    )


class NamedDetections(nn.Module):
    """Which of the detections the phrase names, as something to add to each cell (P, N, D).

    A place tells its class's probability and its box as seen from the cell. The best `count` boxes
    come without those that overlap a better one, as in Fast NMS (Bolya et al., arXiv:1904.02689).
    """

    cell_of: Tensor
    once: Tensor
    spread: Tensor

    def __init__(self, dim: int, text_dim: int, grid: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.name = nn.Linear(text_dim, CLASSES)
        nn.init.constant_(self.name.bias, -3.0)
        self.tell = starting_at_zero(5 * PLACES, dim, dim)
        cells = torch.arange(grid * grid)
        row, column = cells // grid, cells % grid
        copied = [(row % step == 0) & (column % step == 0) for step in (1, 1, 1, 1, 1, 2, 4)]
        spread = torch.eye(PLACES).repeat_interleave(5, 1)
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("cell_of", cells.repeat_interleave(PLACES), persistent=False)
        self.register_buffer("once", torch.stack(copied, 1).flatten().float(), persistent=False)

    def forward(self, seen: Tensor, text: Tensor, text_mask: Tensor, centers: Tensor) -> NamedHits:
        """Find what the phrase names.

        Args:
            seen: (1|P, N, PLACES * (CLASSES + 4)), see `DetectionHead`. text: (P, L, Dt).
            text_mask: (P, L), True for words. centers: (N, 2) of the cells.
        """
        names = highest_of_words(self.name(text), text_mask)
        named = F.pad(names, (1, 0)).softmax(-1)[:, 1:]  # a logit of 0 for none of them
        places = seen.unflatten(2, (PLACES, -1))
        boxes = places[..., CLASSES:]
        # Boxes are weighted with zeros: cheaper than a copy of the probabilities without them.
        weights = F.pad(named, (0, 4))[..., None].to(seen.dtype)
        hits = (places.flatten(1, 2) @ weights).squeeze(-1).unflatten(1, (-1, PLACES))
        nearby = boxes - F.pad(centers, (0, 2))[:, None]
        facts = F.pad(nearby, (1, 0), value=1.0).flatten(2)
        # Spread by a product: ONNX Runtime is slow where the last axis is broadcast.
        told = self.tell((hits @ self.spread) * facts)
        best = self.best(hits.flatten(1).detach(), boxes.flatten(1, 2))
        return NamedHits(told, names, named, hits.amax(-1), *best)

    def best(self, hits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the places (P, N * PLACES) the best ones: cells, boxes and hits.

        A place of a coarse level stands in several cells and counts `once`.
        """
        likely, place = (hits * self.once).topk(min(POOL, hits.shape[1]), dim=1)
        boxes = taken_of_frame(boxes, place)
        better = torch.ones(2 * [place.shape[1]], device=hits.device).tril(-1)
        covered = ((pairwise_iou(boxes) > SAME) * better).amax(-1)
        _, rank = (likely * (1 - COVERED * covered)).topk(self.count, dim=1)
        return self.cell_of[place.gather(1, rank)], taken(boxes, rank), likely.gather(1, rank)

    def rivals(self, seen: Tensor, named: NamedHits, cells: Tensor) -> Tensor:
        """(P, K): how likely each of the cells (P, K) holds a class that is not named."""
        places = taken_of_frame(seen, cells).unflatten(2, (PLACES, -1))[..., :CLASSES]
        return (places.amax(2) * (1 - named.named[:, None])).amax(-1)
