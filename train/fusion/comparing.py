"""Dense fusion that first finds what a phrase compares.

    visual tokens, and behind them what a detector sees
        cells + what is seen of the class that the phrase names (`detections.py`)
        [ fusion layers ] -> proposals: a box of every cell, "one of what the noun names" or not
        [ fusion layers ] -> "the one": boxes and logits, as in `dense.py`

"The bigger dog" is a comparison of boxes, so the later layers are told the boxes of the dogs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.fusion.dense import DenseFusion, start_head, to_boxes
from train.fusion.detections import NamedDetections


class Proposals(nn.Module):
    """Every cell's box half-way, told to the layers that follow: what is to be compared, and where.

    The logit says "one of what the phrase names", not yet "the one": `losses.instance_loss`.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 5))
        self.tell = nn.Linear(5, dim, bias=False)
        start_head(self.head)
        nn.init.zeros_(self.tell.weight)

    def forward(self, cells: Tensor, centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cells (P, N, D) -> the same with their proposal added, boxes (P, N, 4), logits (P, N)."""
        logit, sides = self.head(self.norm(cells)).split([1, 4], dim=-1)
        boxes = to_boxes(centers, sides)
        likely = logit.sigmoid()
        told = self.tell(torch.cat([likely, likely * boxes], dim=-1))
        return cells + told, boxes, logit.squeeze(-1)


class ComparingFusion(DenseFusion):
    """A dense fusion for visual tokens with a detector's answers behind them.

    Returns:
        boxes, logits: as `DenseFusion` gives them; in training mode also the proposals' in the same
        form, and the logits (P, CLASSES) of the classes that the phrase names.
    """

    def __init__(self, dim: int, grid: int, layers: int = 4, heads: int = 4) -> None:
        super().__init__(dim, grid, layers, heads)
        self.dim = dim
        for index, layer in enumerate(self.layers):
            if layer.whole is not None and not DenseFusion.mixes_globally(index):
                nn.init.zeros_(layer.whole.out.weight)  # starts as the dense fusion
                nn.init.zeros_(layer.whole.out.bias)
        self.detections = NamedDetections(dim, dim, absolute=True)
        self.proposals = Proposals(dim)

    @staticmethod
    def mixes_globally(index: int) -> bool:
        """All but the first layer: what is compared may be far apart."""
        return index > 0

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, ...]:
        cells, seen = visual.split([self.dim, visual.shape[-1] - self.dim], dim=-1)
        told, names, *_ = self.detections(seen, text, text_mask, self.centers)
        cells = cells + told
        half = len(self.layers) // 2
        cells = self.through(self.layers[:half], cells, text, text_mask)
        cells, *proposed = self.proposals(cells, self.centers)
        answer = self.answer(self.through(self.layers[half:], cells, text, text_mask))
        return (*answer, *proposed, names) if self.training else answer
