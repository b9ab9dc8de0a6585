"""Looking closer: parts of a frame at the network's full input size, for what is small in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.calibration import IDENTITY
from sdk.geometry.tiles import Tile, cut_by, tiles
from sdk.inputs.phrases import EncodedPhrase
from sdk.protocols import Answers
from sdk.results import Grounding

MOST_DETAIL = 8
SURER = 2.0
"""Logits above the threshold that a part's answer needs: with many looks one is wrong more often.
Chosen on walls as those of `benchmarks/camera_frames.py`: two thirds of what parts find, and nearly
all absent things rejected as without them."""


@dataclass(frozen=True, eq=False)
class Part:
    """A tile of a frame; encoded when it is first asked about, once."""

    frame_bgr: NDArray[np.uint8]
    tile: Tile
    encode: Callable[[NDArray[np.uint8]], Answers]

    @cached_property
    def _view(self) -> Answers:
        left, top, right, bottom = self.tile
        return self.encode(self.frame_bgr[top:bottom, left:right])

    def answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]:
        """In pixels of the frame; what the tile's edge cuts is not found."""
        height, width = self.frame_bgr.shape[:2]
        left, top, *_ = self.tile
        answers = [r.moved(left, top) for r in self._view.answer(phrases, alternatives)]
        cut = [cut_by(answer.box, self.tile, (width, height)) for answer in answers]
        return [replace(a, found=a.found and not c) for a, c in zip(answers, cut, strict=True)]


def cut_up(
    frame_bgr: NDArray[np.uint8], detail: int, encode: Callable[[NDArray[np.uint8]], Answers]
) -> list[Part]:
    """The parts that `detail` asks for, of a copy of the frame: its owner may draw on it."""
    if detail == 1:
        return []
    height, width = frame_bgr.shape[:2]
    frame_bgr = frame_bgr.copy()
    return [Part(frame_bgr, tile, encode) for tile in tiles((width, height), detail)]


def look_closer(
    parts: Sequence[Part],
    phrases: Sequence[EncodedPhrase],
    results: Sequence[Grounding],
    alternatives: int,
    threshold: float,
) -> list[Grounding]:
    """The results, with the surest part's in place of those that are not found.

    What is found in the whole frame stays: "on the left" and "the biggest" mean the whole frame.
    """
    closer = list(results)
    missing = [i for i, result in enumerate(results) if not result.found]
    asked = [phrases[i] for i in missing]
    least = surer(threshold)
    for part in parts if asked else ():
        for i, answer in zip(missing, part.answer(asked, alternatives), strict=True):
            better = not closer[i].found or answer.score > closer[i].score
            if answer.found and answer.score >= least and better:
                closer[i] = answer
    return closer


def surer(threshold: float) -> float:
    """The score that a part's answer needs."""
    return IDENTITY.score(IDENTITY.logit(threshold) + SURER)
