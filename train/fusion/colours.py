"""Colours in the side network: how much of a cell or a box has a colour that the phrase names.

    shares of colours of every cell, once a frame  --+
    words of the phrase -> colours that they name  --+-> cells: the share that is named
                                                     +-> boxes: the same of their middle

An encoder taught to tell classes forgets colours, so they are read off the pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sdk.bundle.contract import COLOURS
from train.fusion.layers import highest_of_words, starting_at_zero

HIDDEN = 16


class ColourHits(NamedTuple):
    """What is known of the colours that P phrases name."""

    told: Tensor
    """(P, N, D), to be added to the cells."""
    names: Tensor
    """(P, COLOURS) logits: how much the words name each colour."""
    asked: Tensor
    """(P, 1) probability that any is named."""
    shares: Tensor
    """(P, N): how much of each cell has one that is named."""


def no_colour_named(text: Tensor, cells: int) -> ColourHits:
    """What there is without colours, for text tokens (P, L, D)."""
    phrases = text.shape[0]
    return ColourHits(
        told=text.new_zeros(phrases, 1, 1),
        names=text.new_zeros(phrases, 0),
        asked=text.new_zeros(phrases, 1),
        shares=text.new_zeros(phrases, cells),
    )


class NamedColours(nn.Module):
    """Tells cells how much of them has a colour that the phrase names."""

    def __init__(self, cell_dim: int, dim: int) -> None:
        super().__init__()
        self.name = nn.Linear(dim, COLOURS)
        nn.init.constant_(self.name.bias, -3.0)
        self.tell = starting_at_zero(2, HIDDEN, cell_dim)

    def forward(self, painted: Tensor, text: Tensor, text_mask: Tensor) -> ColourHits:
        """Find what the phrase names.

        Args:
            painted: (1|P, N, COLOURS) shares of each cell. text: (P, L, D).
            text_mask: (P, L), True for words.
        """
        names = highest_of_words(self.name(text), text_mask)
        named = names.sigmoid()
        shares = (painted * named[:, None]).sum(-1)
        asked = named.amax(1, keepdim=True)
        told = self.tell(torch.stack([shares, asked.expand_as(shares)], -1))
        return ColourHits(told, names, asked, shares)
