"""What is taught after the training, as inputs of the fusion graph."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

LESSON_RANK = 8
SAME_WORD, SAME_LOOK = 0.8, 0.5
"""Cosine from which a token is a taught word, and a cell looks like one."""
TAUGHT_GAIN = 8.0
"""Logits that a cell gains which looks exactly like a word that is exactly said."""


class Lessons(NamedTuple):
    """What was taught after the training, see `sdk.bundle.contract`: zeros for nothing."""

    words: Tensor
    """(M, D) text tokens of taught words."""
    cells: Tensor
    """(M, D) features of cells that show them."""
    down: Tensor
    """(D, R), with `up` a low-rank addition to the candidates' last features."""
    up: Tensor
    """(R, D)."""

    def hits(self, cells: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """(P, N): how much each cell (P, N, D) looks like a taught word that the phrase has."""
        alike = (unit(text) @ unit(self.words).t()).masked_fill(~text_mask[..., None], -1)
        said = ((alike.amax(1) - SAME_WORD) / (1 - SAME_WORD)).clamp(min=0)  # (P, M)
        shown = ((unit(cells) @ unit(self.cells).t() - SAME_LOOK) / (1 - SAME_LOOK)).clamp(min=0)
        return TAUGHT_GAIN * (shown * said[:, None]).amax(-1)


def unit(vectors: Tensor) -> Tensor:
    """(..., D) vectors scaled to length one; zeros stay zeros."""
    return vectors * (vectors.square().sum(-1, keepdim=True) + 1e-6).rsqrt()
