"""Cached text features: the encoder's own taps, and no more of them than fit."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from sdk.bundle.tokenizer import WordPieceTokenizer
from tests.tiny import VOCAB, tiny_text_encoder
from train import features
from train.encoders.text import TransformersText
from train.features import CachedTextFeatures


def keeping(
    tokens: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TransformersText, WordPieceTokenizer, CachedTextFeatures]:
    """An encoder, its tokenizer, and features that keep so many tokens."""
    source = tiny_text_encoder(folder)
    encoder = TransformersText.load(source)
    tokenizer = WordPieceTokenizer.from_file(source / "vocab.txt", 64)
    monkeypatch.setattr(features, "MOST_BYTES", tokens * 2 * sum(encoder.tap_channels))
    return encoder, tokenizer, CachedTextFeatures(encoder, tokenizer)


def test_taps_are_the_encoders_and_only_the_latest_phrases_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, _, cached = keeping(15, tmp_path, monkeypatch)
    taps, mask = cached(["a dog", "the cat on the left", "a cow"])
    assert list(cached._kept) == ["a cow", "a dog", "the cat on the left"]
    assert mask.sum(1).tolist() == [4, 7, 4]
    ids = torch.tensor([[VOCAB.index(word) for word in ("[CLS]", "a", "dog", "[SEP]")]])
    expected = encoder.taps(ids, torch.ones_like(ids))
    assert torch.equal(taps[-1][0, :4], ids[0])
    for ours, theirs in zip(taps[:-1], expected, strict=True):
        torch.testing.assert_close(ours[0, :4], theirs[0], atol=5e-3, rtol=5e-3)
    again, _ = cached(["a dog"])
    torch.testing.assert_close(again[0][0], taps[0][0, :4])
    cached(["a car"])
    assert list(cached._kept) == ["a dog", "the cat on the left", "a car"]


def test_whatever_is_asked_after_whatever_its_taps_are_the_encoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, tokenizer, cached = keeping(10, tmp_path, monkeypatch)
    rng = random.Random(0)
    phrases = ["dog", "a dog", "the cat", "the cat on the left", "the dog on a car", "a cow"]
    for _ in range(200):
        texts = rng.sample(phrases, rng.randint(1, 3))
        taps, mask = cached(texts)
        for row, text in enumerate(texts):
            ids = torch.tensor([tokenizer.encode(text)])
            assert mask[row].sum() == ids.shape[1]
            expected = torch.stack(encoder.taps(ids, torch.ones_like(ids)))[:, 0]
            got = torch.stack(taps[:-1])[:, row, : ids.shape[1]]
            torch.testing.assert_close(got, expected, atol=5e-3, rtol=5e-3)
        rows = sorted((rows.start, rows.stop) for rows in cached._kept.values())
        assert all(first[1] <= second[0] for first, second in pairwise(rows))
