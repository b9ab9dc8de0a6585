"""Words for colours, kept apart from what else a phrase says.

All of them reach the text encoder as one and the same word; which colours they are goes past it. So
a colour bears on the answer through the pixels alone. An encoder that reads the word as well takes
colours that training phrases name truly for a sign of truth, and those that it swaps in for the
opposite.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.data.colours import NAMES

SPELT_OTHERWISE = {"grey": "gray"}
ALSO_A_THING = "orange"
"""Is told as a colour, and read as a word like all others."""


class ColourWords(nn.Module):
    """Which tokens name which colours; none before `use` was told the vocabulary."""

    ids: Tensor
    read_as: Tensor
    apart: Tensor
    within: Tensor

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        ids = torch.full((2, len(NAMES)), -1)
        apart = torch.tensor([name != ALSO_A_THING for name in NAMES])
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("read_as", torch.tensor(0), persistent=False)
        self.register_buffer("apart", apart, persistent=False)
        within = torch.zeros(vocab_size, dtype=torch.bool)
        self.register_buffer("within", within, persistent=False)

    def use(self, pieces: Sequence[str]) -> None:
        """Let ids mean the pieces of a vocabulary; colours that it lacks are never named."""
        found = {piece: index for index, piece in enumerate(pieces)}
        spellings = [NAMES, [SPELT_OTHERWISE.get(name, name) for name in NAMES]]
        self.ids.copy_(torch.tensor([[found.get(n, -1) for n in names] for names in spellings]))
        self.read_as.copy_(self.ids[self.ids >= 0][:1].sum())
        self.within.copy_(torch.tensor([piece.startswith("##") for piece in pieces]))

    def named(self, input_ids: Tensor) -> Tensor:
        """(P, L) ids -> (P, L, COLOURS), True where a token names the colour.

        The first piece of "blackboard" does not.
        """
        begins_a_longer_word = self.within[F.pad(input_ids[:, 1:], (0, 1))]
        named = (input_ids[..., None, None] == self.ids).any(-2)
        return named & ~begins_a_longer_word[..., None]

    def forward(self, input_ids: Tensor) -> Tensor:
        """(P, L) ids -> the same with one word for all colours."""
        named = (self.named(input_ids) & self.apart).any(-1)
        return torch.where(named, self.read_as, input_ids)
