"""Token-for-token equality with the `tokenizers` package on the packaged vocabulary."""

import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.errors import BundleCorruptError, BundleNotFoundError, PhraseError

VOCAB = DEFAULT_BUNDLE / "vocab.txt"
UNLIMITED = sys.maxsize


@cache
def ours() -> WordPieceTokenizer:
    return WordPieceTokenizer.from_file(VOCAB, UNLIMITED)


@cache
def reference() -> Tokenizer:
    """`BertWordPieceTokenizer(lowercase=True)`, but with special tokens inside a text as text."""
    vocab = {token: i for i, token in enumerate(VOCAB.read_text("utf-8").splitlines())}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"])
    )
    return tokenizer


def is_stable(character: str) -> bool:
    """Whether its class is that of Unicode 3.2: `tokenizers` and Python know other versions."""
    category = unicodedata.category(character)
    return category != "Cn" and category == unicodedata.ucd_3_2_0.category(character)


words = st.sampled_from([word.removeprefix("##") for word in VOCAB.read_text("utf-8").split()])
characters = st.characters(exclude_categories=("Cs", "Cn")).filter(is_stable)
phrases = st.lists(words | st.text(characters, max_size=8), max_size=12).map(" ".join)


@given(phrases | st.text(characters))
@example("the man's T-shirt, on the left-hand side ($5)")
@example("Ünïcödé ÀÉÎ déjà-vu naïve ΣΊΣΥΦΟΣ İstanbul Straße ﬁne")
@example("犬と猫 dog犬cat")
@example("tab\tnew\nline\rnul\x00bell\x07nbsp\xa0zero\u200bwidth\u2028line \x85next \x1cfile")
@example("[CLS] the [MASK] dog [SEP] [UNK] ##s")
@example("a 😀 dog 👩\u200d🚀 e\u0301")
@example("x" * 100 + " " + "x" * 101)
@example("")
def test_equal_to_tokenizers(text: str) -> None:
    assert ours().encode(text) == reference().encode(text).ids


def test_every_character_alone() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    texts = [f"dog{character}cat" for character in every if is_stable(character)]
    want = [encoding.ids for encoding in reference().encode_batch(texts)]
    assert [text for text, ids in zip(texts, want, strict=True) if ours().encode(text) != ids] == []


def test_by_hand() -> None:
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dog", "##s", "play", "##ing", ","], max_tokens=8
    )
    assert tokenizer.encode("Dogs, PLAYING cats") == [2, 4, 5, 8, 6, 7, 1, 3]
    assert (tokenizer.pad_id, tokenizer.unk_id) == (0, 1)


def test_too_many_tokens_is_an_error_not_a_cut() -> None:
    tokenizer = WordPieceTokenizer.from_file(VOCAB, max_tokens=6)
    assert len(tokenizer.encode("one two three four")) == 6
    with pytest.raises(PhraseError, match="at most 6 tokens, got 7"):
        tokenizer.encode("one two three four five")


def test_bad_vocabularies(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"nowhere\.txt"):
        WordPieceTokenizer.from_file(tmp_path / "nowhere.txt", 8)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleCorruptError, match="cannot be read"):
        WordPieceTokenizer.from_file(tmp_path / "binary.txt", 8)
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(BundleCorruptError, match=r"with \[PAD\]"):
        WordPieceTokenizer.from_file(tmp_path / "empty.txt", 8)
