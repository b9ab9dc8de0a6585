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

from train.activation_checkpointing import run


class WordAttention(nn.Module):
    """Cells (P, N, D) attend to words (P, L, D); what they read is added and multiplied in.

    Words are few and cells are many, so every product with a weight is moved to the words' side:
    (x Wq) k = x (Wq k) and (a v) Wo = a (v Wo), the same function for a fraction of the work.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, dim // heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim)

    def forward(self, cells: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """words + cells * gate(words); `text_mask` (P, L) is True for words."""
        keys, values = self.key_value(text).chunk(2, dim=-1)
        weights = self.attend(cells, self.split(keys) * self.size**-0.5, text_mask)
        read = (self.split(values) @ self.by_head(self.out.weight.t())).flatten(1, 2)
        gates = weights @ (read @ self.gate.weight.t()) + self.gate(self.out.bias)
        return weights @ read + self.out.bias + cells * gates

    def attend(self, cells: Tensor, keys: Tensor, text_mask: Tensor) -> Tensor:
        """How much each cell attends to each word in each head: (P, N, heads * L)."""
        directions = (keys @ self.by_head(self.query.weight)).flatten(1, 2)  # (P, heads * L, D)
        offsets = (keys @ self.by_head(self.query.bias[:, None])).squeeze(-1)  # (P, heads, L)
        offsets = offsets.masked_fill(~text_mask[:, None], -1e4).flatten(1)
        scores = cells @ directions.transpose(1, 2) + offsets[:, None]
        return scores.unflatten(2, (self.heads, -1)).softmax(-1).flatten(2)

    def split(self, tokens: Tensor) -> Tensor:
        """(P, L, D) -> (P, heads, L, D / heads)."""
        return tokens.unflatten(2, (self.heads, self.size)).transpose(1, 2)

    def by_head(self, weight: Tensor) -> Tensor:
        """(D, X) -> (heads, D / heads, X)."""
        return weight.unflatten(0, (self.heads, self.size))


class Attention(nn.Module):
    """Multi-head attention of `queries` (B, N, D) over `context` (1|B, M, D).

    Written out instead of `scaled_dot_product_attention`: the exported graph keeps the scores in
    view for mixed-precision builds.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, context: Tensor, seen: Tensor | None = None) -> Tensor:
        """`seen` (B, M) is True for what may be read; None for all."""
        b, n, d = queries.shape
        q = self.query(queries).view(b, n, self.heads, -1).transpose(1, 2)  # (B, heads, N, d)
        k, v = self.key_value(context).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B, heads, N, M)
        if seen is not None:
            scores = scores.masked_fill(~seen[:, None, None], -1e4)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d))


class SceneLayer(nn.Module):
    """Pre-norm layer over the cells of an image: mix them, then transform each.

    Cells are mixed with their neighbours by a 3x3 convolution, and with `mix_globally` with the
    whole image, pooled 2x2 ("the leftmost", "the bigger one" need all candidates in sight).
    """

    def __init__(self, dim: int, heads: int, grid: int, *, mix_globally: bool) -> None:
        super().__init__()
        self.grid = grid
        self.norm_mix, self.norm_ffn = nn.LayerNorm(dim), nn.LayerNorm(dim)
        half = dim // 2
        self.local_in, self.local_out = nn.Linear(dim, half), nn.Linear(half, dim)
        self.local = nn.Conv2d(half, half, 3, padding=1)
        self.whole = Attention(dim, heads) if mix_globally else None
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, cells: Tensor) -> Tensor:
        normed = self.norm_mix(cells)
        cells = cells + self.mix_locally(normed)
        if self.whole is not None:
            pooled = F.avg_pool2d(self.as_image(normed), 2).flatten(2).transpose(1, 2)
            cells = cells + self.whole(normed, pooled)
        return cells + self.ffn(self.norm_ffn(cells))

    def mix_locally(self, cells: Tensor) -> Tensor:
        """Each cell with its eight neighbours, through half the channels."""
        image = self.as_image(F.relu(self.local_in(cells)))
        return self.local_out(F.relu(self.local(image)).flatten(2).transpose(1, 2))

    def as_image(self, cells: Tensor) -> Tensor:
        """(P, N, C) -> (P, C, H, W)."""
        return cells.transpose(1, 2).unflatten(2, (self.grid, self.grid))


class FusionLayer(SceneLayer):
    """A scene layer whose cells attend to the words first.

    What the words say enters both as a sum and as a product with the cell: a product is what makes
    a red cell light up for the word "red" alone.
    """

    def __init__(self, dim: int, heads: int, grid: int, *, mix_globally: bool) -> None:
        super().__init__(dim, heads, grid, mix_globally=mix_globally)
        self.norm_words = nn.LayerNorm(dim)
        self.words = WordAttention(dim, heads)

    def forward(self, cells: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        cells = cells + self.words(self.norm_words(cells), text, text_mask)
        return super().forward(cells)


class DenseFusion(nn.Module):
    """Fusion layers and dense head over a square grid of `grid` x `grid` cells.

    Returns:
        boxes: (P, N, 4) cxcywh, fractions of the network input, N = grid * grid.
        logits: (P, N), how much each cell believes that its box is the one.
    """

    reads_parts = False
    activation_checkpointing = False
    """Compute the layers again in the backward pass."""

    def __init__(self, dim: int, grid: int, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, grid * grid, dim).normal_(std=0.02))
        self.layers = nn.ModuleList(
            FusionLayer(dim, heads, grid, mix_globally=self.mixes_globally(index))
            for index in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 5))
        self.presence = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))
        start_head(self.head, self.presence)
        self.register_buffer("centers", cell_centers(grid), persistent=False)

    @staticmethod
    def mixes_globally(index: int) -> bool:
        """Whether a layer sees the whole image."""
        return index % 2 == 1

    def prepare(self, visual: Tensor) -> Tensor:
        """Visual tokens (B, N, D) with learned 2-D positions added, once a frame."""
        return visual + self.positions

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        cells = visual.expand(text.shape[0], -1, -1)
        return self.answer(self.through(self.layers, cells, text, text_mask))

    def through(
        self, layers: nn.ModuleList, cells: Tensor, text: Tensor, text_mask: Tensor
    ) -> Tensor:
        """The cells (P, N, D) after some of the layers."""
        for layer in layers:
            cells = run(layer, cells, text, text_mask, checkpointing=self.activation_checkpointing)
        return cells

    def answer(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """What the cells (P, N, D) say after the last layer: boxes and logits."""
        cells = self.norm(cells)
        logit, sides = self.head(cells).split([1, 4], dim=-1)
        # One more logit from where the cells look: "is it here at all" is no cell's own question.
        seen = (logit.softmax(1) * cells).sum(1)
        logits = logit.squeeze(-1) + self.presence(seen)
        return to_boxes(self.centers, sides), logits


def start_head(head: nn.Sequential, presence: nn.Sequential | None = None) -> None:
    """Start from boxes of a third of the image and from "probably not here"."""
    nn.init.zeros_(head[-1].weight)
    nn.init.constant_(head[-1].bias, -1.6)
    nn.init.constant_(head[-1].bias[:1], -4.0)
    if presence is not None:
        nn.init.zeros_(presence[-1].weight)
        nn.init.zeros_(presence[-1].bias)


def cell_centers(grid: int) -> Tensor:
    """(N, 2) centres of the cells of a `grid` x `grid` image, x and y in [0, 1], row by row."""
    ticks = (torch.arange(grid) + 0.5) / grid
    return torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1).view(-1, 2)


def to_boxes(centers: Tensor, sides: Tensor) -> Tensor:
    """(N, 2) cell centres and (P, N, 4) distances, before their sigmoid -> (P, N, 4) cxcywh."""
    left_top, right_bottom = sides.sigmoid().chunk(2, dim=-1)
    center = centers + (right_bottom - left_top) / 2
    return torch.cat([center, left_top + right_bottom], dim=-1)
