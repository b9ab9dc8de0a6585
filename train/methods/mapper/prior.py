"""Priors for MaPPER: frozen text features that come with a token for each word piece.

The paper's prior is CLIP's text tower, whose text is aligned with images. It has a tokenizer of its
own, so its tokens and the text encoder's do not match one to one. What is done about it: the phrase
is split into words by the text encoder's word pieces, each word is tokenised by CLIP's own
tokenizer, and a word piece is told the mean of its word's CLIP tokens; [CLS], [SEP] and padding are
told CLIP's end-of-text feature, which stands for the whole phrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerBase

from train.encoders.pretrained import load_strictly
from train.encoders.text import TransformersText

PRIOR_SELF = "self"


class Prior(nn.Module):
    """`prior(encoder, ids, mask)` -> (P, L, width), a token for each word piece."""

    width: int


class SelfPrior(Prior):
    """The text encoder's own frozen output: no second tower, and the only prior that exports."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, encoder: TransformersText, ids: Tensor, mask: Tensor) -> Tensor:
        return encoder.taps(ids, mask)[-1]


class ClipPrior(Prior):
    """CLIP's text tower. Not exportable: its tokenizer would have to be part of the graph.

    Args:
        net: the tower. tokenizer: its own. vocab: the text encoder's word pieces by id.
    """

    def __init__(
        self, net: CLIPTextModel, tokenizer: PreTrainedTokenizerBase, vocab: Sequence[str]
    ) -> None:
        super().__init__()
        self.net, self.tokenizer, self.vocab = net, tokenizer, list(vocab)
        self.width = net.config.hidden_size
        self.longest = net.config.max_position_embeddings

    @classmethod
    def load(cls, source: str | Path, vocab: Sequence[str]) -> ClipPrior:
        """From a folder of CLIP's weights and tokenizer, or a name on the model hub.

        Raises:
            ValueError, OSError: see `load_strictly`.
        """
        net = load_strictly(CLIPTextModel, source, lambda key: False)
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(source))
        except (TypeError, ValueError) as error:
            raise ValueError(f"--prior: {source} has no tokenizer of CLIP's: {error}") from error
        return cls(net, tokenizer, vocab)

    def forward(self, encoder: TransformersText, ids: Tensor, mask: Tensor) -> Tensor:
        words = [words_of(row, self.vocab) for row in ids.tolist()]
        pieces = [self._tokenize([word for word, _ in row]) for row in words]
        longest = max(len(tokens) for tokens, _ in pieces)
        clip_ids = torch.full((len(pieces), longest), self.tokenizer.eos_token_id)
        clip_mask = torch.zeros(len(pieces), longest, dtype=torch.long)
        for row, (tokens, _) in enumerate(pieces):
            clip_ids[row, : len(tokens)] = torch.tensor(tokens)
            clip_mask[row, : len(tokens)] = 1
        out = self.net(clip_ids.to(ids.device), clip_mask.to(ids.device)).last_hidden_state
        prior = out.new_empty(*ids.shape, self.width)
        for row, (tokens, spans) in enumerate(pieces):
            prior[row] = out[row, len(tokens) - 1]  # end of text
            for (_, at), (start, end) in zip(words[row], spans, strict=False):
                prior[row, at] = out[row, start:end].mean(0)
        return prior

    def _tokenize(self, words: Sequence[str]) -> tuple[list[int], list[tuple[int, int]]]:
        """CLIP ids between its begin and end tokens, and where each word's are.

        Words that CLIP's positions do not reach have no span: they are told the end of text.
        """
        tokens, spans = [self.tokenizer.bos_token_id], []
        for word in words:
            added = self.tokenizer(word, add_special_tokens=False).input_ids
            if len(tokens) + len(added) + 1 > self.longest:
                break
            spans.append((len(tokens), len(tokens) + len(added)))
            tokens += added
        return [*tokens, self.tokenizer.eos_token_id], spans


def words_of(ids: Sequence[int], vocab: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Word pieces -> words, each with the positions of its pieces; special tokens are no words."""
    words: list[tuple[str, list[int]]] = []
    for position, index in enumerate(ids):
        piece = vocab[index]
        if piece in ("[PAD]", "[CLS]", "[SEP]"):
            continue
        if piece.startswith("##") and words:
            word, at = words[-1]
            words[-1] = (word + piece[2:], [*at, position])
        else:
            words.append((piece, [position]))
    return words
