"""Priors for MaPPER: frozen text features that come with a token for each word piece.

The paper's prior is CLIP's text tower with its projection, which aligns text with images. How its
tokens are brought to the word pieces of the text encoder is `sdk.bundle.prior`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from sdk.bundle.contract import PRIOR_IDS, PRIOR_SHARES
from sdk.bundle.prior import BytePairs, PriorTokenizer
from train.encoders.pretrained import load_strictly
from train.encoders.text import TransformersText

PRIOR_SELF = "self"


class Prior(nn.Module):
    """`prior(encoder, ids, mask, *inputs)` -> (P, L, width), a token for each word piece.

    `inputs`: what the exported text graph takes beside ids and mask.
    """

    width: int


class SelfPrior(Prior):
    """The text encoder's own frozen output: no second tower."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(
        self, encoder: TransformersText, ids: Tensor, mask: Tensor, *inputs: Tensor
    ) -> Tensor:
        return encoder.taps(ids, mask)[-1]


class ClipPrior(Prior):
    """CLIP's text tower and its projection, of every token.

    Args:
        net: the tower. tokenizer: its own, for the text encoder's word pieces.
    """

    def __init__(self, net: CLIPTextModelWithProjection, tokenizer: PriorTokenizer) -> None:
        super().__init__()
        self.net, self.tokenizer = net, tokenizer
        self.width = net.config.projection_dim

    @classmethod
    def load(cls, source: str | Path, vocab: Sequence[str]) -> ClipPrior:
        """From a folder of CLIP's weights and tokenizer, or a name on the model hub.

        Args:
            vocab: the text encoder's word pieces by id.

        Raises:
            ValueError, OSError: see `load_strictly`.
        """
        net = load_strictly(CLIPTextModelWithProjection, source, lambda key: False)
        try:
            pairs = byte_pairs(source, net.config.max_position_embeddings)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"--prior: {source} has no tokenizer of CLIP's: {error}") from error
        return cls(net, PriorTokenizer(pairs, vocab))

    def forward(
        self, encoder: TransformersText, ids: Tensor, mask: Tensor, *inputs: Tensor
    ) -> Tensor:
        prior_ids, shares = inputs or self.inputs(ids)
        # Causal attention: no token sees the padding behind it, and no share is of padding.
        return shares @ self.net.text_projection(self.net(prior_ids).last_hidden_state)

    def inputs(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(P, L) ids of the text encoder -> the tower's (P, M), and their shares (P, L, M)."""
        found = [self.tokenizer.inputs(row) for row in ids.tolist()]
        longest = max(inputs[PRIOR_IDS].shape[1] for inputs in found)
        prior_ids = torch.full((len(found), longest), self.tokenizer.pairs.end)
        shares = torch.zeros(*ids.shape, longest)
        for row, inputs in enumerate(found):
            tokens = inputs[PRIOR_IDS].shape[1]
            prior_ids[row, :tokens] = torch.from_numpy(inputs[PRIOR_IDS][0])
            shares[row, :, :tokens] = torch.from_numpy(inputs[PRIOR_SHARES][0])
        return prior_ids.to(ids.device), shares.to(ids.device)


def byte_pairs(source: str | Path, max_tokens: int) -> BytePairs:
    """Of the CLIP tokenizer in a folder, or of a name on the model hub."""
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return BytePairs(
        vocab=model["vocab"],
        merges={" ".join(pair): rank for rank, pair in enumerate(model["merges"])},
        begin=tokenizer.bos_token_id,
        end=tokenizer.eos_token_id,
        max_tokens=max_tokens,
    )


def prior_tokenizer(text: nn.Module) -> PriorTokenizer | None:
    """Of a text encoder's prior, where that has one of its own."""
    prior = getattr(text, "prior", None)
    return prior.tokenizer if isinstance(prior, ClipPrior) else None
