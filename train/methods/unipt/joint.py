"""UniPT on a joint encoder-decoder: the authors' form for grounding, there on MDETR.

    image -> backbone, projection -+-> frozen encoder -> frozen decoder <- queries
    phrase -> text, projection ----+        | taps             | taps
                                     parallel network -> parallel network -> output -> boxes, scores

The encoder sees image and phrase at once, so all of it runs anew for every phrase. The split into
three graphs is exact all the same: what comes before the encoder depends on the image or on the
phrase alone, and the encoder-decoder with its side network is the "fusion", only a dear one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DetrModel

from train.methods.unipt.model import ParallelNetwork, output_layer

TAPS = (1, 3, 5)
"""Layers whose outputs are read, 0 being the input; the last layer guides."""


class JointUniPT(nn.Module):
    """DETR's encoder and decoder over image and words, frozen, with UniPT beside both.

    Args:
        detr: gives encoder, decoder and queries.
        side: width of the parallel networks.
        positions: (N, D) position embeddings of the visual tokens; words have none.

    Returns:
        boxes: (P, Q, 4) cxcywh, fractions of the network input, one a query.
        logits: (P, Q).
    """

    def __init__(self, detr: DetrModel, side: int, positions: Tensor) -> None:
        super().__init__()
        dim = detr.config.d_model
        self.encoder, self.decoder = detr.encoder, detr.decoder
        self.queries = detr.query_position_embeddings
        for part in (self.encoder, self.decoder, self.queries):
            part.requires_grad_(False)
        channels = [dim] * (len(TAPS) + 1)
        self.side_encoder = ParallelNetwork(channels, side)
        self.side_decoder = ParallelNetwork(channels, side, crossing=True)
        self.out = output_layer(side, dim)
        self.box = nn.Sequential(
            *(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 4))
        )
        self.score = nn.Linear(dim, 1)
        self.register_buffer("positions", positions[None], persistent=False)

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
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
        return F.sigmoid(self.box(out)), self.score(out).squeeze(-1)


def chosen(output: object) -> list[Tensor]:
    """The tapped hidden states and the guide, of an encoder's or a decoder's output."""
    hidden = output.hidden_states
    return [*(hidden[index] for index in TAPS), output.last_hidden_state]
