"""Layers of the candidates fusion, and the grid of cells that its boxes are told from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdk.lessons.looks import MIDDLE


class WordAttention(nn.Module):
    """Cells (P, N, D) attend to words (P, L, D); what they read is added and multiplied in.

    Words are few and cells are many, so every product with a weight is moved to the words' side:
    (x Wq) k = x (Wq k) and (a v) Wo = a (v Wo), the same function for a fraction of the work.
    Biases too: the attention of each head sums to one.
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
        read = read + self.out.bias / self.heads
        gates = read @ self.gate.weight.t() + self.gate.bias / self.heads
        return weights @ read + cells * (weights @ gates)

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


def cell_centers(grid: int) -> Tensor:
    """(N, 2) centres of the cells of a `grid` x `grid` image, x and y in [0, 1], row by row."""
    ticks = (torch.arange(grid) + 0.5) / grid
    return torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1).view(-1, 2)


def to_boxes(centers: Tensor, sides: Tensor) -> Tensor:
    """(N, 2) cell centres and (P, N, 4) distances, before their sigmoid -> (P, N, 4) cxcywh."""
    left_top, right_bottom = sides.sigmoid().chunk(2, dim=-1)
    center = centers + (right_bottom - left_top) / 2
    return torch.cat([center, left_top + right_bottom], dim=-1)


def pairwise_iou(boxes: Tensor) -> Tensor:
    """(P, K, 4) cxcywh -> (P, K, K) IoU of each with each."""
    x, y, width, height = boxes.unbind(-1)
    inter = pairwise_overlap(x, width) * pairwise_overlap(y, height)
    area = width * height
    return inter / (area[:, :, None] + area[:, None] - inter).clamp(min=1e-6)


def pairwise_overlap(center: Tensor, size: Tensor) -> Tensor:
    """Intervals by centre and length (P, K) -> (P, K, K): the length that two have in common."""
    low, high = center - size / 2, center + size / 2
    low = torch.maximum(low[:, :, None], low[:, None])
    return (torch.minimum(high[:, :, None], high[:, None]) - low).clamp(min=0)


def taken(values: Tensor, index: Tensor) -> Tensor:
    """(P, N, C) and (P, K) -> (P, K, C): the rows of `values` that `index` names."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def taken_of_frame(values: Tensor, index: Tensor) -> Tensor:
    """As `taken`, of values (1|P, N, C) that may be the same for all phrases.

    Rows are then read in place: a copy of the frame for each phrase would cost more than all else.
    """
    return values.flatten(0, 1)[index] if values.shape[0] == 1 else taken(values, index)


def highest_of_words(logits: Tensor, text_mask: Tensor) -> Tensor:
    """(P, L, C) and the words' mask (P, L) -> (P, C): each logit of the word that says it most."""
    return logits.masked_fill(~text_mask[..., None], -1e4).amax(1)


def cells_within(boxes: Tensor, ticks: Tensor) -> Tensor:
    """How much each cell of a grid counts in the middle of boxes (P, K, 4), cxcywh: (P, K, G * G),
    which sum to one for a box.

    Args:
        ticks: (G,) centres of the grid's rows and columns, fractions of the network input.
    """
    reach = MIDDLE * boxes[..., 2:] + 0.5 / len(ticks)
    across, down = (
        (-((ticks - boxes[..., i, None]) / reach[..., i, None]).square()).exp() for i in (0, 1)
    )  # (P, K, G)
    across, down = (side / side.sum(-1, keepdim=True) for side in (across, down))
    return (down[..., None] * across[..., None, :]).flatten(2)


def starting_at_zero(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A hidden layer with ReLU; zeros come out until it has learned something."""
    layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)
    return layers
