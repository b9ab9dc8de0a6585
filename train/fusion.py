"""Compact fusion and dense head: visual tokens x phrase tokens -> one scored box per grid cell.

    visual tokens (1|P, N, D) --+-> [ words -> cells | cells <-> cells | feed-forward ] x layers
    text tokens   (P, L, D) ----+                                                       |
                                           per cell: logit + distances to the four sides

A cell that answers for itself keeps two similar objects apart, where a single regressed box lands
between them; the best cell's logit is at the same time the evidence that the thing is there at all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention of `queries` (B, N, D) over `context` (B, M, D).

    `context_mask` (B, M) is True where a context token may be attended to. Written out instead of
    `scaled_dot_product_attention`: with as few as ten keys this is several times faster on a CPU,
    and the exported graph keeps the scores in view for mixed-precision builds.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, queries: Tensor, context: Tensor, context_mask: Tensor | None = None
    ) -> Tensor:
        b, n, d = queries.shape
        m = context.shape[1]
        q = self.query(queries).view(b, n, self.heads, -1).transpose(1, 2)  # (B, heads, N, d)
        k, v = self.key_value(context).view(b, m, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B, heads, N, M)
        if context_mask is not None:
            scores = scores.masked_fill(~context_mask[:, None, None, :], -1e4)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d))


class FusionLayer(nn.Module):
    """Pre-norm layer: attend to the words, mix the cells, transform each cell.

    What the words say enters both as a sum and as a product with the cell: a product is what makes
    a red cell light up for the word "red" alone. Cells are mixed with their neighbours by a 3x3
    convolution, and in every second layer with the whole image, pooled 2x2 ("the leftmost", "the
    bigger one" need all candidates in sight).
    """

    def __init__(self, dim: int, heads: int, grid: int, *, mix_globally: bool) -> None:
        super().__init__()
        self.grid = grid
        self.norm_words, self.norm_mix, self.norm_ffn = (nn.LayerNorm(dim) for _ in range(3))
        self.words = Attention(dim, heads)
        self.gate = nn.Linear(dim, dim)
        half = dim // 2
        self.local = nn.Sequential(
            nn.Conv2d(dim, half, 1),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(half, dim, 1),
        )
        self.whole = Attention(dim, heads) if mix_globally else None
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, cells: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        normed = self.norm_words(cells)
        words = self.words(normed, text, text_mask)
        cells = cells + words + normed * self.gate(words)
        normed = self.norm_mix(cells)
        image = normed.transpose(1, 2).unflatten(2, (self.grid, self.grid))  # (P, D, H, W)
        cells = cells + self.local(image).flatten(2).transpose(1, 2)
        if self.whole is not None:
            pooled = F.avg_pool2d(image, 2).flatten(2).transpose(1, 2)
            cells = cells + self.whole(normed, pooled)
        return cells + self.ffn(self.norm_ffn(cells))


class DenseFusion(nn.Module):
    """Fusion layers and dense head over a square grid of `grid` x `grid` cells.

    Returns:
        boxes: (P, N, 4) cxcywh, fractions of the network input, N = grid * grid.
        logits: (P, N), how much each cell believes that its box is the one.
    """

    def __init__(self, dim: int, grid: int, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            FusionLayer(dim, heads, grid, mix_globally=index % 2 == 1) for index in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 5))
        nn.init.zeros_(self.head[-1].weight)
        # Start from boxes of a third of the image and from "probably not here".
        nn.init.constant_(self.head[-1].bias, -1.6)
        nn.init.constant_(self.head[-1].bias[:1], -4.0)
        ticks = (torch.arange(grid) + 0.5) / grid
        centers = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1).view(-1, 2)
        self.register_buffer("centers", centers, persistent=False)

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        cells = visual.expand(text.shape[0], -1, -1)
        for layer in self.layers:
            cells = layer(cells, text, text_mask)
        logit, sides = self.head(self.norm(cells)).split([1, 4], dim=-1)
        left_top, right_bottom = sides.sigmoid().chunk(2, dim=-1)
        center = self.centers + (right_bottom - left_top) / 2
        return torch.cat([center, left_top + right_bottom], dim=-1), logit.squeeze(-1)
