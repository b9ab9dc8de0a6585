"""Cached text features: the encoder's own taps, and no more of them than fit."""

from pathlib import Path

import pytest
import torch

from sdk.bundle.tokenizer import WordPieceTokenizer
from tests.tiny import VOCAB, tiny_text_encoder
from train import features
from train.encoders.text import TransformersText
from train.features import CachedTextFeatures


def test_taps_are_the_encoders_and_only_the_latest_phrases_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MOST_PHRASES", 2)
    source = tiny_text_encoder(tmp_path)
    encoder = TransformersText.load(source)
    tokenizer = WordPieceTokenizer.from_file(source / "vocab.txt", 64)
    cached = CachedTextFeatures(encoder, tokenizer)
    taps, mask = cached(["a dog", "the cat on the left", "a cow"])
    assert len(cached._kept) == 2 and mask.sum(1).tolist() == [4, 7, 4]
    ids = torch.tensor([[VOCAB.index(word) for word in ("[CLS]", "a", "dog", "[SEP]")]])
    expected = encoder.taps(ids, torch.ones_like(ids))
    for ours, theirs in zip(taps, expected, strict=True):
        torch.testing.assert_close(ours[0, :4], theirs[0], atol=5e-3, rtol=5e-3)
    again, _ = cached(["a dog"])
    torch.testing.assert_close(again[0][0], taps[0][0, :4])
    assert len(cached._kept) == 2 and list(cached._kept)[-1] == "a dog"
