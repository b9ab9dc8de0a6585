"""Colours in the side network: how much of a cell or a box has a colour that the phrase names.

    shares of colours of every cell, once a frame  --+
    colours that the words name                    --+-> cells: the share that is named
                                                     +-> boxes: the same of their middle

An encoder taught to tell classes forgets colours, so they are read off the pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from train.fusion.layers import starting_at_zero

HIDDEN = 16


class ColourHits(NamedTuple):
    """What is known of the colours that P phrases name."""

    told: Tensor
    """(P, N, D), to be added to the cells."""
    asked: Tensor
    """(P, 1): 1 where any is named, else 0."""
    shares: Tensor
    """(P, N): how much of each cell has one that is named."""


def no_colour_named(text: Tensor, cells: int) -> ColourHits:
    """What there is without colours, for text tokens (P, L, D)."""
    phrases = text.shape[0]
    return ColourHits(
        told=text.new_zeros(phrases, 1, 1),
        asked=text.new_zeros(phrases, 1),
        shares=text.new_zeros(phrases, cells),
    )


class NamedColours(nn.Module):
    """Tells cells how much of them has a colour that the phrase names."""

    def __init__(self, cell_dim: int) -> None:
        super().__init__()
        self.tell = starting_at_zero(2, HIDDEN, cell_dim)

    def forward(self, painted: Tensor, words: Tensor, text_mask: Tensor) -> ColourHits:
        """Find what the phrase names.

        Args:
            painted: (1|P, N, COLOURS) shares of each cell. words: (P, L, COLOURS), 1 where a token
                names the colour. text_mask: (P, L), True for tokens.
        """
        named = (words * text_mask[..., None]).amax(1)
        shares = (painted * named[:, None]).sum(-1)
        asked = named.amax(1, keepdim=True)
        told = self.tell(torch.stack([shares, asked.expand_as(shares)], -1))
        return ColourHits(told, asked, shares)
