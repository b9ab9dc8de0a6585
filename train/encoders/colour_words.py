"""Words for colours, kept apart from what else a phrase says.

They reach the text encoder as one and the same word; which colours they are goes past it. So a
colour bears on the answer through the pixels alone. A network that reads the word as well takes
colours that training phrases name truly for a sign of truth, and those that it swaps in for the
opposite. "Orange", which is a fruit as well, is still read, and so is every colour by a CLIP prior
of MaPPER.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.data.colours import NAMES

SPELT_OTHERWISE = {"grey": "gray"}
READ_ALL_THE_SAME = "orange"
"""Named as a colour, and read like any other word."""


class ColourWords(nn.Module):
    """Which tokens name which colours; none before `use` was told the vocabulary."""

    ids: Tensor
    read_as: Tensor
    replaced: Tensor
    continues: Tensor

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        ids = torch.full((2, len(NAMES)), -1)
        replaced = torch.tensor([name != READ_ALL_THE_SAME for name in NAMES])
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("read_as", torch.tensor(0), persistent=False)
        self.register_buffer("replaced", replaced, persistent=False)
        continues = torch.zeros(vocab_size, dtype=torch.bool)
        self.register_buffer("continues", continues, persistent=False)

    def use(self, pieces: Sequence[str]) -> None:
        """Let ids mean the pieces of a vocabulary; colours that it lacks are never named."""
        found = {piece: index for index, piece in enumerate(pieces)}
        spellings = [NAMES, [SPELT_OTHERWISE.get(name, name) for name in NAMES]]
        self.ids.copy_(torch.tensor([[found.get(n, -1) for n in names] for names in spellings]))
        known = self.ids[self.ids >= 0].tolist()
        self.read_as.fill_(known[0] if known else 0)
        self.continues.copy_(torch.tensor([piece.startswith("##") for piece in pieces]))

    def named(self, input_ids: Tensor) -> Tensor:
        """(P, L) ids -> (P, L, COLOURS), True where a token names the colour.

        The first piece of "blackboard" does not.
        """
        begins_a_longer_word = self.continues[F.pad(input_ids[:, 1:], (0, 1))]
        named = (input_ids[..., None, None] == self.ids).any(-2)
        return named & ~begins_a_longer_word[..., None]

    def forward(self, input_ids: Tensor) -> Tensor:
        """(P, L) ids -> the same with one word for all colours."""
        named = (self.named(input_ids) & self.replaced).any(-1)
        return torch.where(named, self.read_as, input_ids)
