"""Layers of the candidates fusion: cells that read words, candidates that are compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.fusion.layers import Attention, WordAttention, pairwise_iou

HEADS = 4
PAIR_FEATURES = 7


class MatchLayer(nn.Module):
    """Words are read by cells (P, N, D), each of which is then transformed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_words, self.norm_ffn = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.words = WordAttention(dim, HEADS)
        self.ffn = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, cells: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        cells = cells + self.words(self.norm_words(cells), text, text_mask)
        return cells + self.ffn(self.norm_ffn(cells))


class CompareLayer(nn.Module):
    """Pre-norm layer over candidates (P, K, D): each other, then the words, then a feed-forward."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_self, self.norm_words, self.norm_ffn = (nn.LayerNorm(dim) for _ in range(3))
        self.each_other = PairAttention(dim)
        self.words = Attention(dim, HEADS)
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, things: Tensor, bias: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        things = things + self.each_other(self.norm_self(things), bias)
        things = things + self.words(self.norm_words(things), text, text_mask)
        return things + self.ffn(self.norm_ffn(things))


class PairAttention(nn.Module):
    """Self-attention of candidates (P, K, D) that knows how two boxes lie to each other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, things: Tensor, bias: Tensor) -> Tensor:
        """`bias` (P, heads, K, K) is added to the scores."""
        q, k, v = self.query_key_value(things).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (P, heads, K, K)
        return self.out(((scores + bias).softmax(-1) @ v).transpose(1, 2).flatten(2))


def pair_features(boxes: Tensor) -> Tensor:
    """(P, K, 4) cxcywh -> (P, K, K, PAIR_FEATURES): how the second box lies to the first.

    Offset in fractions of the image and of the first box, ratio of the sides, overlap of both.
    """
    offset = boxes[:, None, :, :2] - boxes[:, :, None, :2]
    size = boxes[..., 2:].clamp(min=0.01)
    one, other = size[:, :, None], size[:, None]
    iou = pairwise_iou(torch.cat([boxes[..., :2], size], -1))
    ratios = [(offset / one).clamp(-4, 4), (other / one).log().clamp(-3, 3)]
    return torch.cat([offset, *ratios, iou[..., None]], dim=-1)
