"""BERT's uncased WordPiece tokenizer in pure Python.

The `tokenizers` package would pull huggingface-hub and a dozen more into the runtime to split a
sentence; the tests prove this one equal to it. Following its BertNormalizer, BertPreTokenizer and
WordPiece: https://github.com/huggingface/tokenizers.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sdk.errors import BundleCorruptError, BundleNotFoundError, PhraseError

_MAX_WORD_CHARACTERS = 100  # a longer word is [UNK], as in BERT
_CJK = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)


@dataclass(frozen=True)
class TokenizerSpec:
    """The files that phrases are read with."""

    vocab_file: str
    """Name of the vocabulary's file."""
    max_tokens: int
    """Longest encoding, [CLS] and [SEP] counted."""
    words_file: str = ""
    """Name of the file of known words, most frequent first, that slips are set right with; "" =
    phrases are read as they are typed, and no word counts as unknown."""
    prior_file: str = ""
    """Name of the file of the second text encoder's tokenizer, see `sdk.bundle.prior`; "" = the
    text graph has one encoder."""
    prior_tokens: int = 0
    """Longest encoding by that tokenizer."""

    @property
    def files(self) -> list[str]:
        """The files that are there."""
        return [name for name in (self.vocab_file, self.words_file, self.prior_file) if name]

    def __post_init__(self) -> None:
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens: expected at least 3, got {self.max_tokens}")


class WordPieceTokenizer:
    """Splits a phrase into the ids of a BERT vocabulary.

    Special tokens written inside a phrase ("[SEP]") are plain text.

    Raises:
        BundleCorruptError: the vocabulary lacks one of [PAD], [UNK], [CLS], [SEP].
    """

    def __init__(self, vocab: Sequence[str], max_tokens: int) -> None:
        """A tokenizer of a vocabulary.

        Args:
            vocab: token of each id.
            max_tokens: longest encoding, [CLS] and [SEP] counted.
        """
        self.vocab = tuple(vocab)
        self._ids = {token: index for index, token in enumerate(vocab)}
        for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"):
            if token not in self._ids:
                raise BundleCorruptError(
                    f"expected a BERT vocabulary with {token}, got {len(vocab)} tokens without it; "
                    "use the vocab.txt that came with the text encoder"
                )
        self.pad_id, self.unk_id = self._ids["[PAD]"], self._ids["[UNK]"]
        self.max_tokens = max_tokens
        self._longest_token = max(map(len, vocab))

    @classmethod
    def from_file(cls, path: str | Path, max_tokens: int) -> "WordPieceTokenizer":
        """Read a vocab.txt: UTF-8, one token per line, the line number is the id."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise BundleNotFoundError(f"no vocabulary at {path}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise BundleCorruptError(f"the vocabulary {path} cannot be read: {error}") from error
        return cls(text.removesuffix("\n").split("\n"), max_tokens)

    def encode(self, text: str) -> list[int]:
        """Ids of `[CLS] text [SEP]`.

        Raises:
            PhraseError: there are more than `max_tokens`: a cut phrase would silently mean
                something else.
        """
        pieces = [piece for word in _words(text) for piece in self._pieces(word)]
        ids = [self._ids["[CLS]"], *pieces, self._ids["[SEP]"]]
        if len(ids) > self.max_tokens:
            raise PhraseError(
                f"expected a phrase of at most {self.max_tokens} tokens, got {len(ids)} from "
                f"{text[:40]!r}...; describe one object in fewer words"
            )
        return ids

    def _pieces(self, word: str) -> list[int]:
        """Greedy longest match first; [UNK] for the whole word when a rest does not match."""
        if len(word) > _MAX_WORD_CHARACTERS:
            return [self.unk_id]
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest_token), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    pieces.append(piece)
                    start = end
                    break
            else:
                return [self.unk_id]
        return pieces


def _words(text: str) -> list[str]:
    """Normalised words; each punctuation mark is a word of its own."""
    spaced = (f" {c} " if _is_punctuation(c) else c for c in _normalise(text))
    return "".join(spaced).split()


def _normalise(text: str) -> str:
    """Control characters dropped, CJK spaced, accents stripped, lower case."""
    cleaned = "".join(map(_clean, text))
    decomposed = unicodedata.normalize("NFD", cleaned)
    bare = (character for character in decomposed if unicodedata.category(character) != "Mn")
    return "".join(map(str.lower, bare))  # per character: "Σ" is never the final "ς"


@lru_cache(1024)
def _clean(character: str) -> str:
    is_control = unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")
    if character in "\t\n\r" or (character.isspace() and not is_control):
        return " "
    if is_control or character == "\N{REPLACEMENT CHARACTER}":
        return ""
    if _CJK.match(character):
        return f" {character} "
    return character


def _is_punctuation(character: str) -> bool:
    """Unicode punctuation, and every ASCII symbol: BERT counts "$" and "+" in."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character)[0] == "P"
