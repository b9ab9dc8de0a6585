"""Decoder fusion: the scene is prepared once a frame, and a phrase is a few tokens that look at it.

    once a frame    visual tokens (B, N, D) -> positions -> scene layers
    once a phrase   queries + words -> [ tokens <-> tokens | tokens -> scene | feed-forward ] x n
                         |
                    per cell: features that the phrase scales, and products with the queries
                         -> neighbours -> logit + distances to the four sides

As in DETR's decoder (Carion et al., arXiv:2005.12872) tokens read the image and the image does not
change, so that what one more phrase costs is counted in a dozen tokens instead of in 400 cells.
Cells meet the phrase in the head alone: it scales and shifts their features (FiLM, Perez et al.,
arXiv:1709.07871) beside maps that are products with its queries (as MaskFormer's masks, Cheng et
al., arXiv:2107.06278).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.activation_checkpointing import run
from train.fusion.dense import Attention, SceneLayer, cell_centers, start_head, to_boxes

QUERIES, MAPS = 8, 4
"""Learned tokens beside the words, and how many maps of the cells each of them draws."""
SCENE_LAYERS, HEADS = 2, 8


class TokenLayer(nn.Module):
    """Pre-norm decoder layer: tokens (P, T, D) read each other, then the cells (1|P, N, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_ffn = (nn.LayerNorm(dim) for _ in range(3))
        self.tokens, self.cells = Attention(dim, HEADS), Attention(dim, HEADS)
        self.ffn = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))

    def forward(self, tokens: Tensor, seen: Tensor, cells: Tensor) -> Tensor:
        """`seen` (P, T) is False for padding."""
        normed = self.norm_self(tokens)
        tokens = tokens + self.tokens(normed, normed, seen)
        tokens = tokens + self.cells(self.norm_cross(tokens), cells)
        return tokens + self.ffn(self.norm_ffn(tokens))


class DynamicHead(nn.Module):
    """Cells (1|P, N, D) and queries (P, Q, D) -> logits (P, N) and sides (P, N, 4)."""

    def __init__(self, dim: int, grid: int) -> None:
        super().__init__()
        half = dim // 2
        self.scale = half**-0.5
        self.keys, self.draw = nn.Linear(dim, half), nn.Linear(dim, MAPS * half)
        self.maps = nn.Linear(MAPS * QUERIES, half)
        self.features, self.film = nn.Linear(dim, half), nn.Linear(dim, 2 * half)
        self.mix = SceneLayer(half, 1, grid, mix_globally=False)
        self.head = nn.Sequential(nn.Linear(half, half), nn.ReLU(), nn.Linear(half, 5))
        self.presence = nn.Sequential(nn.Linear(half + dim, dim), nn.ReLU(), nn.Linear(dim, 1))
        start_head(self.head, self.presence)

    def forward(self, cells: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        kernels = self.draw(queries).unflatten(2, (MAPS, -1)).flatten(1, 2)  # (P, Q * MAPS, D / 2)
        maps = self.keys(cells) @ kernels.transpose(1, 2) * self.scale  # (P, N, Q * MAPS)
        scale, shift = self.film(queries[:, :1]).chunk(2, dim=-1)
        hidden = self.mix(F.relu(self.features(cells) * scale + shift + self.maps(maps)))
        logit, sides = self.head(hidden).split([1, 4], dim=-1)
        # One more logit from where the cells look: "is it here at all" is no cell's own question.
        seen = (logit.softmax(1) * hidden).sum(1)
        present = self.presence(torch.cat([seen, queries[:, 0]], dim=-1))
        return logit.squeeze(-1) + present, sides


class DecoderFusion(nn.Module):
    """Scene layers, decoder layers and dynamic head over a square grid of `grid` x `grid` cells.

    Returns:
        boxes: (P, N, 4) cxcywh, fractions of the network input, N = grid * grid.
        logits: (P, N), how much each cell believes that its box is the one.
    """

    reads_parts = False
    activation_checkpointing = False
    """Compute the layers again in the backward pass."""

    def __init__(self, dim: int, grid: int, layers: int = 4) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, grid * grid, dim).normal_(std=0.02))
        self.scene = nn.ModuleList(
            SceneLayer(dim, HEADS, grid, mix_globally=True) for _ in range(SCENE_LAYERS)
        )
        self.norm_scene = nn.LayerNorm(dim)
        self.queries = nn.Parameter(torch.empty(1, QUERIES, dim).normal_())
        self.layers = nn.ModuleList(TokenLayer(dim) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = DynamicHead(dim, grid)
        self.register_buffer("centers", cell_centers(grid), persistent=False)

    def prepare(self, visual: Tensor) -> Tensor:
        """Visual tokens (B, N, D) -> the scene (B, N, D): all that no phrase is needed for."""
        visual = visual + self.positions
        for layer in self.scene:
            visual = run(layer, visual, checkpointing=self.activation_checkpointing)
        return self.norm_scene(visual)

    def forward(self, scene: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = torch.cat([self.queries.expand(text.shape[0], -1, -1), text], dim=1)
        seen = F.pad(text_mask, (QUERIES, 0), value=True)
        for layer in self.layers:
            tokens = run(layer, tokens, seen, scene, checkpointing=self.activation_checkpointing)
        queries = self.norm(tokens[:, :QUERIES])
        logits, sides = run(self.head, scene, queries, checkpointing=self.activation_checkpointing)
        return to_boxes(self.centers, sides), logits
