"""Looking closer: parts of a frame at the network's full input size, for what is small in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.calibration import IDENTITY
from sdk.geometry.boxes import iou_xyxy
from sdk.geometry.decode import MOST_IOU
from sdk.geometry.tiles import Tile, tiles, window
from sdk.inputs.phrases import EncodedPhrase
from sdk.protocols import Answers
from sdk.results import Box, Grounding, Place

MOST_DETAIL = 8
SURER = 1.5
"""Logits above the threshold that the mean of a part's answer and of the second look at it needs:
with many looks one is wrong more often. Chosen, as the second look is, on walls as those of
`benchmarks/camera_frames.py` with other photos in them: with `detail=3` as many absent things are
found as with two logits and no second look, and a quarter more of those that are there."""
AROUND = 2.0
"""Side of the second look's window, in longer sides of the box that is looked at."""
SAME_THING = 0.3
"""Least IoU of both looks' boxes."""


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
        """In pixels of the frame."""
        left, top, *_ = self.tile
        return [r.moved(left, top) for r in self._view.answer(phrases, alternatives)]

    def around(self, box: Box) -> "Part":
        """The part of the same frame to look at a box again in."""
        height, width = self.frame_bgr.shape[:2]
        return replace(self, tile=window(box, AROUND, (width, height)))


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
    """The results, with the surest part's in place of those that are not found, where a second look
    agrees.

    What is found in the whole frame stays: "on the left" and "the biggest" mean the whole frame.
    """
    closer = list(results)
    missing = [
        i
        for i, (phrase, result) in enumerate(zip(phrases, results, strict=True))
        if not (result.found or phrase.unknown.head)  # of an unknown thing no part can tell more
    ]
    if not parts or not missing:
        return closer
    asked = [phrases[i] for i in missing]
    answers = [part.answer(asked, alternatives) for part in parts]
    least = IDENTITY.score(IDENTITY.logit(threshold) + SURER)
    for i, of_parts in zip(missing, zip(*answers, strict=True), strict=True):
        first, part = max(zip(of_parts, parts, strict=True), key=lambda pair: pair[0].score)
        if first.found:
            (second,) = part.around(first.box).answer([phrases[i]], 0)
            both = agreed(first, second)
            if both is not None and both.score >= least:
                closer[i] = both
    return closer


def agreed(first: Grounding, second: Grounding) -> Grounding | None:
    """The first look's answer with the second's box and the mean of both logits; None where they
    are of two things. Other places that the new box covers are left out."""
    if iou_xyxy([first.box], [second.box])[0, 0] < SAME_THING:
        return None
    score = IDENTITY.score((IDENTITY.logit(first.score) + IDENTITY.logit(second.score)) / 2)
    best = Place(second.box, score)

    def apart(places: Sequence[Place]) -> list[Place]:
        return [p for p in places if iou_xyxy([p.box], [best.box])[0, 0] <= MOST_IOU]

    return replace(
        first,
        box=best.box,
        score=best.score,
        instances=(best, *apart(first.instances[1:])),
        alternatives=tuple(apart(first.alternatives)),
    )
