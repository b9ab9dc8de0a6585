"""Real inputs for the graphs: frames and phrases of the training photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.quantize import Feed
from sdk.backends.select import open_session
from sdk.bundle.contract import (
    IMAGE,
    TEXT,
    TEXT_TOKENS,
    VISION,
    VISUAL_TOKENS,
)
from sdk.bundle.preprocess import Preprocess
from sdk.bundle.prior import PriorTokenizer, text_inputs
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.inputs.frames import as_bgr
from sdk.inputs.phrases import fusion_inputs
from train.data.samples import Photo, spread

PARITY_PHOTOS = 3


class Samples:
    """`photos` with their phrases, as the graphs take them; nothing is kept in memory."""

    def __init__(
        self,
        photos: Sequence[Photo],
        preprocess: Preprocess,
        tokenizer: WordPieceTokenizer,
        prior: PriorTokenizer | None = None,
    ) -> None:
        self.photos = [photo for photo in photos if photo.expressions]
        if not self.photos:
            raise ValueError("expected at least one training photo with phrases, got none")
        self.preprocess = preprocess
        self.tokenizer, self.prior = tokenizer, prior

    def for_parity(self) -> tuple[list[NDArray[np.float32]], list[list[int]]]:
        """A few images, and the shortest, the median and the longest phrase as tokens."""
        images = [self._image(photo) for photo in spread(self.photos, PARITY_PHOTOS)]
        encoded = sorted((self._tokens(photo) for photo in self.photos), key=len)
        return images, [encoded[0], encoded[len(encoded) // 2], encoded[-1]]

    def feeds(self, graph: str, files: Mapping[str, Path]) -> Iterator[Feed]:
        """Inputs of `graph`, one photo or one phrase at a time.

        Fusion's are what the FP32 graphs in `files` make of a photo and its first phrase.
        """
        bar = tqdm(self.photos, desc=f"calibrating {graph}", unit="photo")
        if graph == VISION.name:
            yield from ({IMAGE: self._image(photo)} for photo in bar)
        elif graph == TEXT.name:
            yield from (self._phrase(photo) for photo in bar)
        else:
            vision = open_session(files[VISION.name], "cpu")
            text = open_session(files[TEXT.name], "cpu")
            for photo in bar:
                words = text.run(self._phrase(photo))
                visual = vision.run({IMAGE: self._image(photo)})
                yield {
                    VISUAL_TOKENS: visual[VISUAL_TOKENS],
                    **fusion_inputs(list(words[TEXT_TOKENS])),
                }

    def _image(self, photo: Photo) -> NDArray[np.float32]:
        return self.preprocess.tensor(as_bgr(photo.path))

    def _phrase(self, photo: Photo) -> Feed:
        return text_inputs(self._tokens(photo), self.prior)

    def _tokens(self, photo: Photo) -> list[int]:
        return self.tokenizer.encode(photo.expressions[0].text)
