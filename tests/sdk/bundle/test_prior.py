"""CLIP's tokenizer beside its own, and the words that the text encoder's pieces make."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from sdk.bundle.prior import BytePairs, PriorTokenizer, text_inputs, words_of
from sdk.bundle.tokenizer import WordPieceTokenizer, _words
from sdk.errors import BundleCorruptError
from tests.tiny_clip import tiny_clip
from train.methods.mapper.prior import byte_pairs

PAD, CLS, SEP = 0, 2, 3
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "a", "app", "##le", "##s", "umbrella"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def pairs(folder: Path) -> BytePairs:
    return byte_pairs(folder, 18)


@pytest.mark.parametrize(
    "phrase",
    ["a red apple", "apples' red!", "b7 and 42", "日本 umbrella", "kyriakē 中", "한국어", "ß ¼ x²"],
)
def test_words_are_tokenised_as_by_clips_own(folder: Path, pairs: BytePairs, phrase: str) -> None:
    check(folder, pairs, phrase)


# What is not assigned is a letter or not by the Unicode version that a library was built with.
ASSIGNED = st.characters(max_codepoint=0xFFFF, exclude_categories=("Cn", "Cs"))


@given(st.text(ASSIGNED, max_size=12))
def test_any_words_are_tokenised_as_by_clips_own(
    folder: Path, pairs: BytePairs, phrase: str
) -> None:
    check(folder, pairs, phrase)


def check(folder: Path, pairs: BytePairs, phrase: str) -> None:
    """Of the words that the text encoder reads: lower-case, without accents and control signs."""
    own = AutoTokenizer.from_pretrained(folder)
    words = list(_words(phrase))
    tokenizer = PriorTokenizer(BytePairs(**{**vars_of(pairs), "max_tokens": 10_000}), VOCAB)
    tokens, spans = tokenizer.encode(words)
    assert (tokens[0], tokens[-1]) == (own.bos_token_id, own.eos_token_id)
    got = [tokens[start:end] for start, end in spans]
    assert got == [own(word, add_special_tokens=False).input_ids for word in words]


def vars_of(pairs: BytePairs) -> dict[str, object]:
    return json.loads(pairs.encoded())  # type: ignore[no-any-return]


def test_a_piece_is_told_the_mean_of_its_word_and_the_rest_the_end(pairs: BytePairs) -> None:
    ids = [CLS, *(VOCAB.index(piece) for piece in ("red", "app", "##le", "##s")), SEP]
    inputs = text_inputs(ids, PriorTokenizer(pairs, VOCAB))
    assert inputs["input_ids"].tolist() == [ids]
    assert inputs["prior_ids"].shape == (1, 7)  # begin, red, four of "apples", end
    red, apples, end = np.eye(7)[1], np.eye(7)[2:6].mean(0), np.eye(7)[6]
    np.testing.assert_array_equal(
        inputs["prior_shares"], np.stack([end, red, apples, apples, apples, end])[None]
    )
    assert set(text_inputs(ids)) == {"input_ids", "attention_mask"}


def test_a_file_is_read_as_it_was_written(pairs: BytePairs, tmp_path: Path) -> None:
    (tmp_path / "prior.json").write_bytes(pairs.encoded())
    assert BytePairs.from_file(tmp_path / "prior.json") == pairs


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"merges": {"a": 0}}, "pairs of tokens"),
        ({"merges": ["a b"]}, "merges: expected an object"),
        ({"vocab": {"a": 1.5}}, r"vocab\.a: expected int"),
        ({"max_tokens": 1}, "at least 2"),
        ({"end": None}, "end: expected int"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(
    pairs: BytePairs, tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    path = tmp_path / "prior.json"
    path.write_text(json.dumps({**vars_of(pairs), **changes}))
    with pytest.raises(BundleCorruptError, match=rf"prior\.json cannot be read: .*{complaint}"):
        BytePairs.from_file(path)


def test_an_empty_word_takes_no_token(pairs: BytePairs) -> None:
    vocab = [*VOCAB, ""]
    shares = PriorTokenizer(pairs, vocab).inputs([CLS, len(VOCAB), SEP])["prior_shares"]
    assert shares[0].tolist() == [[0, 1]] * 3


def test_pieces_of_a_real_vocabulary_make_words(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB))
    tokenizer = WordPieceTokenizer.from_file(tmp_path / "vocab.txt", 32)
    assert words_of(tokenizer.encode("a red apples"), tokenizer.vocab) == [
        ("a", [1]),
        ("red", [2]),
        ("apples", [3, 4, 5]),
    ]


@given(st.lists(st.integers(0, len(VOCAB) - 1), max_size=12))
def test_every_position_that_is_not_special_belongs_to_exactly_one_word(ids: list[int]) -> None:
    words = words_of(ids, VOCAB)
    special = {PAD, CLS, SEP}
    covered = [position for _, positions in words for position in positions]
    assert sorted(covered) == [at for at, index in enumerate(ids) if index not in special]
    assert all(positions == sorted(positions) and positions for _, positions in words)


WORDS = st.lists(
    st.tuples(st.sampled_from(["red", "a", "app", "umbrella"]), st.lists(st.sampled_from("12"))),
    max_size=5,
)


@given(WORDS, st.integers(0, 3))
def test_pieces_are_joined_to_the_words_they_came_from(
    words: Sequence[tuple[str, list[str]]], padding: int
) -> None:
    endings = {"1": "##le", "2": "##s"}
    ids, expected = [CLS], []
    for stem, ends in words:
        pieces = [stem, *(endings[end] for end in ends)]
        at = list(range(len(ids), len(ids) + len(pieces)))
        expected.append((stem + "".join(endings[end][2:] for end in ends), at))
        ids += [VOCAB.index(piece) for piece in pieces]
    assert words_of([*ids, SEP, *[PAD] * padding], VOCAB) == expected
