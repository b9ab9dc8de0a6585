"""Carries boxes from frame to frame, between groundings that are slower than the camera.

    frame       0      1      2      3
    grounding   asked ............. answered
    box         ·      ·      ·      moved along 0 -> 1 -> 2 -> 3, then merged with the carried one

How a box moves with the picture: `sdk.streaming.median_flow`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import number, whole
from sdk.geometry.boxes import clip_xyxy, iou_xyxy
from sdk.results import Grounding, Place
from sdk.streaming.median_flow import Box, Grey, carry, reduced

VISIBLE = 0.25
"""An object is lost when less than this part of its box is in the frame."""
SIDE = 320
"""Frames are reduced by a whole number, so that the long side is about this many pixels."""
WAYPOINTS = 8
"""Steps in which a late grounding is moved to the present, at most."""


@dataclass(frozen=True)
class Tracking:
    """How boxes are carried and when a phrase counts as found.

    Raises:
        ArgumentError: a setting is out of range.
    """

    hysteresis: float = 0.4
    """Hysteresis in log-odds: a phrase appears that far above the bundle's threshold, and stays
    until that far below it."""
    max_misses: int = 3
    """Groundings in a row that may miss a found object, or put it elsewhere, before it is lost."""
    weight: float = 0.5
    """How far a grounding pulls the carried box, in (0, 1]; 1 takes the grounding as it is."""
    match_iou: float = 0.3
    """IoU with the carried box from which on a grounding means the same object."""

    def __post_init__(self) -> None:
        number("Tracking.weight", self.weight, 0, 1, above=True)
        number("Tracking.match_iou", self.match_iou, 0, 1, above=True)
        number("Tracking.hysteresis", self.hysteresis, 0, 20)
        whole("Tracking.max_misses", self.max_misses, 0, 1_000_000)

    def thresholds(self, threshold: float) -> tuple[float, float]:
        """Scores from which on a phrase appears, and stays, around a bundle's `threshold`."""
        up = math.exp(self.hysteresis)
        appear, stay = (threshold * f / (1 - threshold + threshold * f) for f in (up, 1 / up))
        return appear, stay


@dataclass
class _Object:
    """One thing. Its box is xyxy in reduced pixels, and may reach beyond the frame."""

    box: Box
    score: float
    track_id: int
    followed: bool = True
    misses: int = 0

    def merge(self, box: Box, score: float, weight: float) -> None:
        """Move it to where a grounding says that it is."""
        self.box = self.box + (weight if self.followed else 1.0) * (box - self.box)
        self.score, self.followed, self.misses = score, True, 0


@dataclass
class _Track:
    """What a phrase means, and the other things that it names."""

    text: str
    best: _Object
    found: bool
    others: list[_Object] = field(default_factory=list)
    unknown_words: tuple[str, ...] = ()
    fresh: bool = True

    @property
    def objects(self) -> list[_Object]:
        """All that is found."""
        return [self.best, *self.others] if self.found else []


class Tracker:
    """What phrases name, at camera rate. For one thread.

    For every frame `advance`; where a grounding of that frame begins, `mark`; when it is there,
    then or some frames later, `update`.
    """

    def __init__(self, threshold: float, settings: Tracking) -> None:
        """A tracker that follows nothing yet.

        Args:
            threshold: the bundle's, around which the hysteresis lies.
        """
        self._settings = settings
        self._appear, self._stay = settings.thresholds(threshold)
        self._tracks: list[_Track] = []
        self._last_id = 0
        self._grey: Grey = np.empty((0, 0), np.uint8)
        self._factor = 1
        self._size_wh = (0, 0)
        self._path: list[Grey] = []  # from the marked frame on, every `stride`-th
        self._age, self._stride = 0, 1  # in frames since the mark

    @property
    def results(self) -> list[Grounding]:
        """One per phrase of the last `update`, in frame pixels; none before it.

        `found` is by hysteresis; a score is that of the last grounding that was believed.
        """
        results = []
        for track in self._tracks:
            places = [Place(self._visible(o.box), o.score, o.track_id) for o in track.objects]
            box = self._visible(track.best.box)
            results.append(
                Grounding(
                    track.text,
                    box,
                    track.best.score,
                    track.found,
                    tuple(places),
                    unknown_words=track.unknown_words,
                )
            )
        return results

    @property
    def fresh(self) -> tuple[bool, ...]:
        """Which results a grounding has set since the last `advance`; the others were carried."""
        return tuple(track.fresh for track in self._tracks)

    @property
    def track_ids(self) -> tuple[int, ...]:
        """A number per result: as long as it is the same, so is the object. 0: not yet found."""
        return tuple(track.best.track_id for track in self._tracks)

    def fits(self, frame: NDArray[np.uint8]) -> bool:
        """Whether a frame is of the size of those before: boxes mean nothing in another one."""
        return self._size_wh in ((0, 0), (frame.shape[1], frame.shape[0]))

    def advance(self, frame: NDArray[np.uint8]) -> None:
        """Carry the boxes of what is found to the next frame, (H, W, 3) uint8 BGR."""
        previous = self._grey
        # Of a strip the narrow side decides.
        self._factor = max(1, min(round(max(frame.shape) / SIDE), *frame.shape[:2]))
        self._size_wh = (frame.shape[1], frame.shape[0])
        self._grey = reduced(frame, self._factor)
        if self._path:
            self._age += 1
            if self._age % self._stride == 0:
                self._path.append(self._grey)
            if len(self._path) > WAYPOINTS:
                del self._path[1::2]
                self._stride *= 2
        moving = [thing for track in self._tracks for thing in track.objects]
        boxes = np.array([thing.box for thing in moving]).reshape(-1, 4)
        boxes, followed = carry(previous, self._grey, boxes)
        for thing, box, sure in zip(moving, boxes, followed, strict=True):
            thing.box, thing.followed = box, thing.followed and bool(sure)
        for track in self._tracks:
            track.fresh = False
            track.found = track.found and self._in_view(track.best)
            track.others = [other for other in track.others if self._in_view(other)]

    def mark(self) -> None:
        """The present frame is the one that the next `update` is about."""
        self._path, self._age, self._stride = [self._grey], 0, 1

    def update(self, groundings: Sequence[Grounding]) -> None:
        """Merge groundings of the marked frame, moved to the present. They set the phrases."""
        places = [place.box for result in groundings for place in result.instances[1:]]
        boxes = np.array([*(result.box for result in groundings), *places], np.float64)
        boxes = boxes.reshape(-1, 4) / self._factor
        if self._path and self._path[-1] is not self._grey:
            self._path.append(self._grey)
        for earlier, later in pairwise(self._path):
            boxes, _ = carry(earlier, later, boxes)
        self._path = []
        moved = iter(boxes[len(groundings) :])
        old, self._tracks = self._tracks, []
        for grounding, box in zip(groundings, boxes, strict=False):
            track = next((track for track in old if track.text == grounding.text), None)
            if track is not None:
                old.remove(track)
            seen = [_Object(box, grounding.score, 0)]
            seen += [_Object(next(moved), p.score, 0) for p in grounding.instances[1:]]
            self._tracks.append(self._decide(track, grounding, seen))

    def _decide(self, track: _Track | None, grounding: Grounding, seen: list[_Object]) -> _Track:
        """The track of a phrase after a grounding of it.

        Args:
            seen: what the grounding says, at its place in the present frame.
        """
        score = grounding.score
        if track and track.found:
            # Of several that a phrase names, another one may be the best now: the track keeps its.
            overlaps = [self._overlap(track.best, thing.box) for thing in seen]
            if score >= self._stay and max(overlaps) >= self._settings.match_iou:
                same = seen.pop(int(np.argmax(overlaps)))
                track.best.merge(same.box, score, self._settings.weight)
                track.others = self._followed(track.others, seen)
                track.fresh = True
                return track
            sure = score < self._stay or track.best.followed
            if sure and track.best.misses < self._settings.max_misses:
                track.best.misses += 1
                return track
        found = score >= self._appear
        best, *others = seen
        best.track_id = self._new_id() if found else track.best.track_id if track else 0
        others = self._followed(track.others if track else [], others) if found else []
        return _Track(grounding.text, best, found, others, grounding.unknown_words)

    def _followed(self, old: list[_Object], new: list[_Object]) -> list[_Object]:
        """The things beside the best one: those that are seen again, new ones, missed ones."""
        seen = []
        for thing in new:
            overlaps = [self._overlap(other, thing.box) for other in old]
            if max(overlaps, default=0.0) >= self._settings.match_iou:
                same = old.pop(int(np.argmax(overlaps)))
                same.merge(thing.box, thing.score, self._settings.weight)
                seen.append(same)
            else:
                thing.track_id = self._new_id()
                seen.append(thing)
        for thing in old:
            thing.misses += 1
        return seen + [thing for thing in old if thing.misses <= self._settings.max_misses]

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _overlap(self, thing: _Object, box: Box) -> float:
        """IoU of what is in the frame of both."""
        here = [clip_xyxy(edges, self._grey.shape[::-1])[None] for edges in (thing.box, box)]
        return float(iou_xyxy(*here)[0, 0])

    def _visible(self, box: Box) -> tuple[float, float, float, float]:
        left, top, right, bottom = clip_xyxy(box * self._factor, self._size_wh).tolist()
        return left, top, right, bottom

    def _in_view(self, thing: _Object) -> bool:
        left, top, right, bottom = self._visible(thing.box)
        area = float(np.prod(thing.box[2:] - thing.box[:2])) * self._factor**2
        part = (right - left) * (bottom - top) / area if area > 0 else 0.0
        return part >= VISIBLE
