"""The second text of MaPPER's bundles: a phrase in CLIP's tokens, and whose word pieces they are.

The text graph holds CLIP's text tower beside the text encoder. The tower has a tokenizer of its own
(byte-level BPE; Sennrich et al., arXiv:1508.07909), so tokens do not match one to one: the words
that the text encoder's word pieces make are tokenised for the tower, and each piece is told the
mean of its word's tokens. [CLS], [SEP] and padding are told the tower's end of text.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.contract import ATTENTION_MASK, INPUT_IDS, PRIOR_IDS, PRIOR_SHARES
from sdk.bundle.schema import decode
from sdk.errors import BundleCorruptError

END_OF_WORD = "</w>"


@dataclass(frozen=True)
class BytePairs:
    """What a CLIP tokenizer knows.

    Raises:
        ValueError: a merge is no pair.
    """

    vocab: Mapping[str, int]
    """Token -> id."""
    merges: Mapping[str, int]
    """Two tokens with a space between them -> rank; the lowest is merged first."""
    begin: int
    """Id of the token before a phrase."""
    end: int
    """Id of the token behind it, and of what is not in the vocabulary."""
    max_tokens: int
    """Longest encoding, both counted."""

    def __post_init__(self) -> None:
        if any(merge.count(" ") != 1 for merge in self.merges):
            raise ValueError("merges: expected pairs of tokens with one space between them")
        if self.max_tokens < 2:
            raise ValueError(f"max_tokens: expected at least 2, got {self.max_tokens}")

    @classmethod
    def from_file(cls, path: Path) -> "BytePairs":
        """Read what `encoded` gave. Raises BundleCorruptError."""
        try:
            return decode(cls, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            raise BundleCorruptError(f"the tokenizer {path} cannot be read: {error}") from error

    def encoded(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()


class PriorTokenizer:
    """Brings the tokens of a phrase to the word pieces of the text encoder.

    Args:
        pairs: of the prior. pieces: the text encoder's, by id.
    """

    def __init__(self, pairs: BytePairs, pieces: Sequence[str]) -> None:
        self.pairs, self.pieces = pairs, pieces

    def inputs(self, ids: Sequence[int]) -> dict[str, NDArray[Any]]:
        """What the text graph takes beside the ids of a phrase.

        Args:
            ids: L of the text encoder's.

        Returns:
            `prior_ids` (1, M) int64, and `prior_shares` (1, L, M) float32: row by row the shares
            of the M tokens in what a word piece is told, 1 together.
        """
        words = words_of(ids, self.pieces)
        tokens, spans = self.encode([word for word, _ in words])
        shares = np.zeros((len(ids), len(tokens)), np.float32)
        shares[:, -1] = 1
        for (_, at), (start, end) in zip(words, spans, strict=False):
            if start < end:  # an empty line of a vocabulary is a word without tokens
                shares[at] = 0
                shares[at, start:end] = 1 / (end - start)
        return {PRIOR_IDS: np.array([tokens], np.int64), PRIOR_SHARES: shares[None]}

    def encode(self, words: Sequence[str]) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids between begin and end, and where each word's are.

        Words that `max_tokens` does not reach have no span.
        """
        tokens, spans = [self.pairs.begin], []
        for word in words:
            added = [self._id(token) for part in parts_of(word) for token in self._merged(part)]
            if len(tokens) + len(added) + 1 > self.pairs.max_tokens:
                break
            spans.append((len(tokens), len(tokens) + len(added)))
            tokens += added
        return [*tokens, self.pairs.end], spans

    def _id(self, token: str) -> int:
        return self.pairs.vocab.get(token, self.pairs.end)

    def _merged(self, part: str) -> list[str]:
        """Bytes, of which the pair with the lowest rank is merged until none has one."""
        *first, last = (BYTES[byte] for byte in part.encode())
        tokens = [*first, last + END_OF_WORD]
        ranks = self.pairs.merges
        while found := {" ".join(pair) for pair in pairwise(tokens)} & ranks.keys():
            left, _, right = min(found, key=ranks.__getitem__).partition(" ")
            at = 0
            while at < len(tokens) - 1:
                if (tokens[at], tokens[at + 1]) == (left, right):
                    tokens[at : at + 2] = [left + right]
                at += 1
        return tokens


def text_inputs(ids: Sequence[int], prior: PriorTokenizer | None = None) -> dict[str, NDArray[Any]]:
    """The ids of one phrase as the text graph's inputs."""
    input_ids = np.array([ids], np.int64)
    inputs = {INPUT_IDS: input_ids, ATTENTION_MASK: np.ones_like(input_ids)}
    return inputs | prior.inputs(ids) if prior else inputs


def words_of(ids: Sequence[int], pieces: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Word pieces -> words, each with the positions of its pieces; special tokens are no words."""
    words: list[tuple[str, list[int]]] = []
    for position, index in enumerate(ids):
        piece = pieces[index]
        if piece in ("[PAD]", "[CLS]", "[SEP]"):
            continue
        if piece.startswith("##") and words:
            word, at = words[-1]
            words[-1] = (word + piece[2:], [*at, position])
        else:
            words.append((piece, [position]))
    return words


def parts_of(word: str) -> Iterator[str]:
    """A word as CLIP cuts it before it merges: letters, single digits, and whatever else."""
    for kind, group in groupby(unicodedata.normalize("NFC", word).lower(), _kind):
        part = "".join(group)
        yield from part if kind == "N" else [part]


def _kind(character: str) -> str:
    kind = unicodedata.category(character)[0]
    return kind if kind in "LN" else ""


def _printable_bytes() -> list[str]:
    """A letter for each byte: itself, or for what cannot be seen one from 256 on (GPT-2's way)."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in seen else next(others)) for byte in range(256)]


BYTES = _printable_bytes()
