"""Kept encoder outputs: what is frozen is computed once.

Side networks read frozen activations, so a phrase's taps and a photo's feature maps never change
during training. Text taps are kept in memory, feature maps in one memory-mapped file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence, Sized
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from sdk._internal.files import replacing
from sdk.bundle.preprocess import Preprocess
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.errors import PhraseError
from sdk.inputs.frames import as_bgr
from train.checkpoint import weights_sha256
from train.data.samples import DataError, Photo
from train.methods import Text, Vision


def check_phrases(photos: Sequence[Photo], tokenizer: WordPieceTokenizer) -> None:
    """Raises DataError naming the photo of a phrase that the text encoder cannot take whole."""
    for photo in photos:
        for expression in photo.expressions:
            try:
                tokenizer.encode(expression.text)
            except PhraseError as error:
                raise DataError(f"{photo.path}: {error}") from error


MOST_BYTES = 2 * 10**9
"""Of kept taps: some 50,000 phrases of the default's text encoder."""


class CachedTextFeatures:
    """Taps of phrases through a frozen text encoder, half precision; the latest ones are kept.

    They lie in one ring of memory. As tensors of their own, among the activations of every step,
    they would keep the heap from shrinking: a run grew by 4 GB in 3,000 steps.
    """

    def __init__(self, encoder: Text, tokenizer: WordPieceTokenizer) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._device = next(encoder.parameters()).device
        self._kept: dict[str, slice] = {}
        """Phrase -> its rows of the ring, one a token; the oldest first."""
        self._ring = torch.empty(0)
        self._end = 0

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> tuple[list[Tensor], Tensor]:
        """P phrases -> (one (P, L, C) float32 tensor a layer and (P, L) int64 ids, int64 mask)."""
        tokens = {t: self._tokenizer.encode(t) for t in set(texts)}
        found = {t: self._ring[self._kept[t]].clone() for t in tokens.keys() & self._kept.keys()}
        if missing := sorted(tokens.keys() - found.keys()):
            ids, mask = (x.to(self._device) for x in pad([tokens[t] for t in missing]))
            taps = (
                torch.stack(self._encoder.taps(ids, mask), dim=2).half().cpu()
            )  # (M, L, layers, C)
            for text, tap in zip(missing, taps, strict=True):
                found[text] = tap[: len(tokens[text])]
                self._keep(text, found[text])
        kept = [found[t] for t in texts]
        out = pad_sequence(kept, batch_first=True).movedim(2, 0)  # (layers, P, L, C)
        ids, mask = pad([tokens[t] for t in texts])
        return [*out.float().contiguous(), ids], mask

    def _keep(self, text: str, taps: Tensor) -> None:
        """Write taps (L, layers, C) behind the latest ones, over the oldest."""
        if not len(self._ring):
            size = MOST_BYTES // (taps[0].numel() * taps.element_size())
            self._ring = torch.empty(size, *taps.shape[1:], dtype=taps.dtype)
        if self._end + len(taps) > len(self._ring):
            self._forget(self._end, len(self._ring))
            self._end = 0
        rows = slice(self._end, self._end + len(taps))
        self._forget(rows.start, rows.stop)
        self._kept[text], self._ring[rows], self._end = rows, taps, rows.stop

    def _forget(self, start: int, stop: int) -> None:
        """Phrases in these rows, which are the oldest."""
        while self._kept:
            oldest = next(iter(self._kept))
            rows = self._kept[oldest]
            if rows.stop <= start or stop <= rows.start:
                break
            del self._kept[oldest]


class TextTokens:
    """In place of `CachedTextFeatures` where gradients enter the encoder: tokens, no taps."""

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """P phrases -> (P, L) int64 ids and mask."""
        return pad([self._tokenizer.encode(t) for t in texts])


def pad(encoded: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token lists -> (P, L) int64 ids, zero-padded, and mask."""
    ids = pad_sequence([torch.tensor(tokens) for tokens in encoded], batch_first=True)
    return ids, mask_of(encoded)


def mask_of(sequences: Sequence[Sized]) -> Tensor:
    """P sequences -> (P, L) int64, 1 for what they have."""
    ones = [torch.ones(len(one), dtype=torch.long) for one in sequences]
    return pad_sequence(ones, batch_first=True)


class CachedVisionFeatures:
    """Feature maps of photos through a frozen vision encoder, in one file of half floats.

    The file is keyed by the encoder's weights, the preprocessing and the photos: another encoder
    gets another file. It is written under a temporary name and renamed when complete.
    """

    def __init__(
        self,
        encoder: Vision,
        preprocess: Preprocess,
        photos: Sequence[Photo],
        folder: Path,
    ) -> None:
        self._rows = {str(p.path): row for row, p in enumerate(photos)}
        self._device = next(encoder.parameters()).device
        with torch.no_grad():
            blank = torch.zeros(1, 3, preprocess.height, preprocess.width, device=self._device)
            self._shapes = [tuple(f.shape[1:]) for f in encoder.features(blank)]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        path = folder / f"features-{self._key(encoder, preprocess)}.f16"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            self._compute(encoder, preprocess, photos, path)
        self._maps = np.memmap(path, np.float16, "r", shape=(len(photos), sum(self._sizes)))

    def _key(self, encoder: nn.Module, preprocess: Preprocess) -> str:
        stats = [(path, Path(path).stat()) for path in self._rows]
        files = [(str(Path(path).resolve()), s.st_size, s.st_mtime_ns) for path, s in stats]
        source = json.dumps([asdict(preprocess), files, self._shapes])
        weights = weights_sha256(encoder.state_dict().items())
        return sha256((source + weights).encode()).hexdigest()[:16]

    @torch.no_grad()
    def _compute(
        self,
        encoder: Vision,
        preprocess: Preprocess,
        photos: Sequence[Photo],
        path: Path,
    ) -> None:
        shape = (len(photos), sum(self._sizes))
        needed, free = 2 * shape[0] * shape[1], shutil.disk_usage(path.parent).free
        if needed > free:
            raise ValueError(
                f"keeping the features of {shape[0]:,} photos takes {needed / 1e9:.1f} GB, and "
                f"{path.parent} has {free / 1e9:.1f} GB: train with --no-cache-features"
            )
        with replacing(path) as temporary:
            maps = np.memmap(temporary, np.float16, "w+", shape=shape)
            for row, photo in enumerate(tqdm(photos, desc="keeping vision features", unit="photo")):
                image = torch.from_numpy(preprocess.tensor(as_bgr(photo.path))).to(self._device)
                flat = torch.cat([f.flatten() for f in encoder.features(image)])
                maps[row] = flat.half().cpu().numpy()
            maps.flush()
            del maps  # an open map cannot be renamed everywhere

    def __call__(self, photos: Sequence[Photo]) -> list[Tensor]:
        """B photos -> feature maps (B, C, h, w) float32, as `encoder.features` gives them."""
        rows = np.stack([self._maps[self._rows[str(p.path)]] for p in photos])
        parts = torch.from_numpy(rows).float().split(self._sizes, dim=1)
        return [p.view(-1, *shape) for p, shape in zip(parts, self._shapes, strict=True)]
