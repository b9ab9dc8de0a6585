"""UniPT: universal parallel tuning (Diao et al., arXiv:2308.14316), the form for two streams.

    frozen taps  t_1  ...  t_(n-1)    t_n, the guide            (no gradient below)
                  |          |         |
                K = V      K = V       Q         projected to a narrow width, normalised
                  |          |         |
                  +-- M V ---+---------+   M = rows of ReLU(Q K^T) made to sum to 1, plus identity
                  |          |
                  c_1  ...  c_(n-1)              confidence of each tap, a softmax over the taps
                  +----+-----+
                  sum -> feed-forward -> + Q -> projected to the fusion's width

One such network a modality, no weight in common, so the visual tokens never depend on the phrase.
The last tap guides: it says which tokens of the earlier ones belong together. For a joint network
that sees image and phrase at once, the authors' form for grounding, see `joint.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.encoders.cells import on_one_grid

EPS = 1e-7
"""Added to the sum of a row of attention, as published: rows of zeros stay zeros."""


def attend(queries: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
    """ReLU attention of `queries` (B, N, S) over `context` (B, M, S), with rows of sum 1.

    No softmax and no 1/sqrt(S), as published. `mask` (B, M) is True where a token may be attended
    to.
    """
    scores = F.relu(queries @ context.transpose(1, 2))
    if mask is not None:
        scores = scores * mask[:, None]
    weights = scores / (scores.sum(-1, keepdim=True) + EPS)
    return weights @ context


def mean_token(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """(B, N, S) -> (B, S), over the tokens that `mask` (B, N) counts."""
    if mask is None:
        return tokens.mean(1)
    counted = mask[..., None].to(tokens.dtype)
    return (tokens * counted).sum(1) / counted.sum(1)


class ParallelNetwork(nn.Module):
    """The parallel network of width `side` over an encoder's taps, without its output layer.

    With `crossing` every tap of a decoder also reads what was made of the encoder: each value has
    its attention over it, without the identity, projected, normalised and added.
    """

    def __init__(self, channels: Sequence[int], side: int, *, crossing: bool = False) -> None:
        super().__init__()
        *earlier, last = channels
        self.guide = projection(last, side)
        self.project = nn.ModuleList(projection(c, side) for c in earlier)
        self.confidence = nn.Linear(side, 1)
        self.ffn = nn.Sequential(
            nn.Linear(side, 2 * side), nn.ReLU(), nn.Linear(2 * side, side), nn.LayerNorm(side)
        )
        self.cross = nn.ModuleList(projection(side, side) for _ in earlier if crossing)

    def forward(
        self,
        taps: Sequence[Tensor],
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Taps, each (B, N, C_l), and mask (B, N) or None -> (B, N, S); `memory` (B, M, S)."""
        guide = self.guide(taps[-1])
        values = [project(tap) for project, tap in zip(self.project, taps[:-1], strict=True)]
        if memory is not None:
            read = [attend(v, memory, memory_mask) for v in values]
            values = [v + c(r) for v, c, r in zip(values, self.cross, read, strict=True)]
        asked = mean_token(guide, mask)
        confidence = torch.cat([self.confidence(asked * mean_token(v, mask)) for v in values], 1)
        gathered = torch.stack([attend(guide, v, mask) + v for v in values], -1)  # (B, N, S, taps)
        mixed = (gathered * confidence.softmax(-1)[:, None, None]).sum(-1)
        return guide + self.ffn(mixed)


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """Linear, then LayerNorm."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs))


def output_layer(side: int, dim: int) -> nn.Sequential:
    """From the parallel network's width to what comes next."""
    return nn.Sequential(nn.ReLU(), nn.Linear(side, dim), nn.LayerNorm(dim))


class ParallelStream(nn.Module):
    """One modality's parallel network and its output layer."""

    def __init__(self, channels: Sequence[int], side: int, dim: int) -> None:
        super().__init__()
        self.network = ParallelNetwork(channels, side)
        self.out = output_layer(side, dim)

    def forward(self, taps: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Taps, each (B, N, C_l), and mask (B, N) or None -> tokens (B, N, D)."""
        return self.out(self.network(taps, mask))


class UniPT(nn.Module):
    """The two parallel networks.

    Raises:
        ValueError: an encoder with a single tap has nothing to guide.
    """

    def __init__(
        self,
        vision_channels: Sequence[int],
        text_channels: Sequence[int],
        dim: int,
        bottleneck: int,
    ) -> None:
        super().__init__()
        if min(len(vision_channels), len(text_channels)) < 2:
            raise ValueError("UniPT: expected encoders with at least two taps each")
        self.vision = ParallelStream(vision_channels, bottleneck, dim)
        self.text = ParallelStream(text_channels, bottleneck, dim)

    def encode_vision(self, taps: Sequence[Tensor]) -> Tensor:
        """Taps, each (B, N or N / 4, C_l) -> visual tokens (B, N, D)."""
        return self.vision(on_one_grid(taps))

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Taps, each (P, L, C_l), and mask (P, L) bool -> text tokens (P, L, D)."""
        return self.text(taps, mask)
