"""UniPT on a joint encoder-decoder: the authors' form for grounding, there on MDETR.

    image -> backbone, projection -+-> frozen encoder -> frozen decoder <- queries
    phrase -> text, projection ----+        | taps             | taps
                                     parallel network -> parallel network -> output -> boxes, scores

The encoder sees image and phrase at once, so all of it runs anew for every phrase. The split into
three graphs is exact all the same: what comes before the encoder depends on the image or on the
phrase alone, and the encoder-decoder with its side network is the "fusion", only a dear one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.fusion.base import Answers, Fusion
from train.methods.unipt.model import ParallelNetwork, output_layer


def tapped(layers: int) -> range:
    """Layers whose outputs are read, 0 being the input: 1, 3, 5 of 6; the last one guides."""
    return range(1, layers, 2)


class JointInputs(nn.Module):
    """What enters the joint encoder: visual tokens as they are, words projected to their width.

    The projection belongs to the frozen network, as in the authors' form: were it trained,
    gradients would pass through the whole encoder-decoder.
    """

    def __init__(self, text_channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.text = nn.Linear(text_channels[-1], dim).requires_grad_(False)

    def encode_vision(self, taps: Sequence[Tensor]) -> Tensor:
        """[(B, N, D)] -> the same tokens."""
        return taps[-1]

    def encode_text(self, taps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Taps, each (P, L, C_l) -> (P, L, D). Token by token: needs no `mask`."""
        return self.text(taps[-1])


class JointUniPT(Fusion):
    """DETR's encoder and decoder over image and words, frozen, with UniPT beside both.

    Visual tokens are prepared as they are: the encoder sees image and phrase at once.

    Args:
        encoder, decoder, queries: of a `DetrModel`.
        positions: (N, D) position embeddings of the visual tokens; words have none.
        side: width of the parallel networks.

    Returns:
        `Answers`, a candidate a query.
    """

    centers = None
    """A query answers for no fixed place: the loss matches one to the box."""
    positions: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        queries: nn.Embedding,
        positions: Tensor,
        side: int,
    ) -> None:
        super().__init__()
        dim = queries.embedding_dim
        self.encoder, self.decoder, self.queries = encoder, decoder, queries
        for part in (self.encoder, self.decoder, self.queries):
            part.requires_grad_(False)
        self.side_encoder = ParallelNetwork(channels(encoder, dim), side)
        self.side_decoder = ParallelNetwork(channels(decoder, dim), side, crossing=True)
        self.out = output_layer(side, dim)
        self.box = nn.Sequential(
            *(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 4))
        )
        self.score = nn.Linear(dim, 1)
        self.register_buffer("positions", positions[None], persistent=False)

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> Answers:
        phrases = text.shape[0]
        tokens = torch.cat([visual.expand(phrases, -1, -1), text], 1)
        mask = F.pad(text_mask, (visual.shape[1], 0), value=True)
        positions = F.pad(self.positions, (0, 0, 0, text.shape[1])).expand(phrases, -1, -1)
        encoded = self.encoder(
            inputs_embeds=tokens,
            attention_mask=mask,
            object_queries=positions,
            output_hidden_states=True,
        )
        queries = self.queries.weight.expand(phrases, -1, -1)
        decoded = self.decoder(
            inputs_embeds=torch.zeros_like(queries),
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=mask,
            object_queries=positions,
            query_position_embeddings=queries,
            output_hidden_states=True,
        )
        memory = self.side_encoder(chosen(encoded), mask)
        side = self.side_decoder(chosen(decoded), None, memory, mask)
        out = self.out(side)
        return Answers(F.sigmoid(self.box(out)), self.score(out).squeeze(-1))


def channels(part: nn.Module, dim: int) -> list[int]:
    """Widths of the taps of DETR's encoder or decoder."""
    return [dim] * (len(tapped(len(list(part.get_submodule("layers").children())))) + 1)


def chosen(output: Any) -> list[Tensor]:
    """The tapped hidden states and the guide, of an encoder's or a decoder's output."""
    hidden = output.hidden_states
    taps = [hidden[index] for index in tapped(len(hidden) - 1)]
    return [*taps, output.last_hidden_state]
