"""TransVG's fusion and head (Deng et al., arXiv:2104.08541): one regressed box for a phrase.

    [REG] + text tokens (P, L, D) + visual tokens (1|P, N, D)
        -> post-norm encoder layers; learned positions are added to queries and keys
        -> what [REG] became -> three-layer perceptron -> sigmoid -> cxcywh

The paper regresses a box and says nothing about how sure it is; one linear layer on [REG] is added
here for the logit that becomes the score.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.fusion.base import Answers, Fusion

HEADS, FEED_FORWARD, DROPOUT = 8, 2048, 0.1
"""As published."""


class PostNormLayer(nn.Module):
    """Self-attention, then feed-forward, each with its residual normalised afterwards."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, HEADS, DROPOUT, batch_first=True)
        self.ffn = nn.Sequential(
            nn.Linear(dim, FEED_FORWARD),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(FEED_FORWARD, dim),
        )
        self.norm_attention, self.norm_ffn = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, positions: Tensor, hidden: Tensor, asked: int) -> Tensor:
        """Tokens (P, T, D) -> the first `asked` of them; `hidden` (P, T) is True for padding."""
        keys = tokens + positions
        read, _ = self.attention(
            keys[:, :asked], keys, tokens, key_padding_mask=hidden, need_weights=False
        )
        tokens = self.norm_attention(tokens[:, :asked] + self.dropout(read))
        return self.norm_ffn(tokens + self.dropout(self.ffn(tokens)))


class TransVGFusion(Fusion):
    """Fusion over `visual_tokens` and up to `text_tokens` tokens.

    Visual tokens are prepared as they are: positions belong to queries and keys alone.

    Returns:
        `Answers` of a single candidate.
    """

    def __init__(self, dim: int, visual_tokens: int, text_tokens: int, layers: int) -> None:
        super().__init__()
        self.text_tokens = text_tokens
        self.reg = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, 1 + text_tokens + visual_tokens, dim))
        self.layers = nn.ModuleList(PostNormLayer(dim) for _ in range(layers))
        self.box = nn.Sequential(
            *(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 4))
        )
        self.score = nn.Linear(dim, 1)
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        # One place for the whole image.
        self.register_buffer("centers", torch.full((1, 2), 0.5), persistent=False)

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> Answers:
        phrases, length, _ = text.shape
        reg, visual = self.reg.expand(phrases, -1, -1), visual.expand(phrases, -1, -1)
        tokens = torch.cat([reg, text, visual], dim=1)
        placed = self.positions[:, : 1 + length], self.positions[:, 1 + self.text_tokens :]
        positions = torch.cat(placed, dim=1)
        seen = tokens.new_zeros(tokens.shape[:2], dtype=torch.bool)
        hidden = torch.cat([seen[:, :1], ~text_mask, seen[:, 1 + length :]], dim=1)
        *layers, last = self.layers
        for layer in layers:
            tokens = self.run(layer, tokens, positions, hidden, tokens.shape[1])
        reg = self.run(last, tokens, positions, hidden, 1)  # nothing else is read below
        return Answers(F.sigmoid(self.box(reg)), self.score(reg).squeeze(-1))
