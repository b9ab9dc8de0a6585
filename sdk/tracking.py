"""Carries boxes from frame to frame, between groundings that are slower than the camera.

Median flow: a grid of points in the box is followed by pyramidal Lucas-Kanade and back again; the
points that return to where they started move the box by their median shift and scale. After
Z. Kalal, K. Mikolajczyk and J. Matas, "Forward-Backward Error: Automatic Detection of Tracking
Failures", ICPR 2010.

    frame       0      1      2      3
    grounding   asked ............. answered
    box         ·      ·      ·      moved along 0 -> 1 -> 2 -> 3, then merged with the carried one
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sdk._opencv import cv2
from sdk.boxes import clip_xyxy, iou_xyxy
from sdk.errors import GroundingError
from sdk.results import Grounding

Grey = NDArray[np.uint8]
Box = NDArray[np.float64]


@dataclass(frozen=True)
class Tracking:
    """How boxes are carried and when a phrase counts as found. Raises GroundingError."""

    margin: float = 0.4
    """Hysteresis in log-odds: a phrase appears that far above the bundle's threshold, and stays
    until that far below it."""
    patience: int = 3
    """Groundings in a row that may miss a found object, or put it elsewhere, before it is lost."""
    weight: float = 0.5
    """How far a grounding pulls the carried box, in (0, 1]; 1 takes the grounding as it is."""
    same: float = 0.3
    """IoU with the carried box from which on a grounding means the same object."""
    visible: float = 0.25
    """An object is lost when less than this part of its box is in the frame."""
    side: int = 320
    """Frames are reduced by a whole number, so that the long side is about this many pixels."""
    points: int = 7
    """Points along a box's side. With many boxes it is fewer: at most some 300 in all, 4 a side."""
    window: int = 11
    """Side of the patch that is followed, in reduced pixels."""
    return_error: float = 1.0
    """Reduced pixels by which a point may miss its start on the way back."""
    waypoints: int = 8
    """Steps in which a late grounding is moved to the present, at most."""

    def __post_init__(self) -> None:
        within = {"weight": (0, 1), "same": (0, 1), "visible": (0, 1)}
        least = {"margin": 0, "patience": 0, "side": 32, "points": 4, "window": 3, "waypoints": 1}
        for name, (low, high) in within.items():
            if not low < getattr(self, name) <= high:
                raise _range_error(name, f"more than {low} and at most {high}", getattr(self, name))
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise _range_error(name, f"at least {low}", getattr(self, name))

    def thresholds(self, threshold: float) -> tuple[float, float]:
        """Scores from which on a phrase appears, and stays, around a bundle's `threshold`."""
        up = math.exp(self.margin)
        appear, stay = (threshold * f / (1 - threshold + threshold * f) for f in (up, 1 / up))
        return appear, stay


def _range_error(name: str, expected: str, got: object) -> GroundingError:
    return GroundingError(f"Tracking.{name}: expected {expected}, got {got}")


DEFAULT_TRACKING = Tracking()


def carry(
    previous: Grey, current: Grey, boxes: Box, settings: Tracking = DEFAULT_TRACKING
) -> tuple[Box, NDArray[np.bool_]]:
    """Move (N, 4) xyxy boxes, in pixels of the (H, W) pictures, from `previous` to `current`.

    Returns the boxes, and (N,) whether each could be followed; one that could not stays in place.
    """
    followed = np.zeros(len(boxes), bool)
    if not len(boxes) or previous.shape != current.shape:
        return boxes, followed
    points = _grids(boxes, previous.shape, settings)  # (N, P, 2)
    start = points.reshape(-1, 1, 2)
    there, kept = _follow(previous, current, start, settings)
    back, returned = _follow(current, previous, there, settings)
    miss = np.linalg.norm(back - start, axis=2).ravel()
    height, width = current.shape
    good = (
        (kept.ravel() == 1)
        & (returned.ravel() == 1)
        & (miss <= settings.return_error)
        & ((there >= 0) & (there < (width, height))).all(axis=(1, 2))
    ).reshape(points.shape[:2])
    moved = boxes.copy()
    ends = there.reshape(points.shape)
    for index, (box, mask) in enumerate(zip(boxes, good, strict=True)):
        if mask.sum() >= max(6, mask.size / 6):
            moved[index] = _shift_and_scale(box, points[index, mask], ends[index, mask])
            followed[index] = True
    return moved, followed


def _grids(boxes: Box, shape: tuple[int, ...], settings: Tracking) -> NDArray[np.float32]:
    """(N, P, 2): points in the visible part of each box, away from its edges, which are not it."""
    side = min(settings.points, max(4, math.isqrt(300 // len(boxes))))
    corners = clip_xyxy(boxes, (shape[1], shape[0])).reshape(-1, 2, 1, 2)
    steps = np.linspace(0.1, 0.9, side)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    inside = corners[:, 0] + grid * (corners[:, 1] - corners[:, 0])
    return inside.astype(np.float32)


def _follow(
    previous: Grey, current: Grey, points: NDArray[np.float32], settings: Tracking
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    ends, kept, _ = cv2.calcOpticalFlowPyrLK(
        previous,
        current,
        points,
        np.empty_like(points),
        winSize=(settings.window, settings.window),
        maxLevel=3,
    )
    return np.asarray(ends, np.float32), np.asarray(kept, np.uint8)


def _shift_and_scale(box: Box, start: NDArray[np.float32], end: NDArray[np.float32]) -> Box:
    first, second = np.triu_indices(len(start), k=1)
    before = np.linalg.norm(start[first] - start[second], axis=1)
    after = np.linalg.norm(end[first] - end[second], axis=1)
    apart = before > 0
    scale = float(np.median(after[apart] / before[apart])) if apart.any() else 1.0
    shift = np.median(end - start, axis=0)
    # The shift is that of the points, whose middle is not the box's where only a part is followed.
    pivot = start.mean(axis=0)
    moved: Box = ((box.reshape(2, 2) - pivot) * scale + pivot + shift).ravel()
    return moved


@dataclass
class _Track:
    """One phrase's object. `box`: xyxy in reduced pixels, may reach beyond the frame."""

    text: str
    box: Box
    score: float
    found: bool
    identity: int
    followed: bool = True
    misses: int = 0
    fresh: bool = True


class Tracker:
    """One box per phrase, at camera rate. For one thread.

    For every frame `advance`; where a grounding of that frame begins, `mark`; when it is there,
    then or some frames later, `update`.
    """

    def __init__(self, threshold: float, settings: Tracking = DEFAULT_TRACKING) -> None:
        """`threshold`: the bundle's, around which the hysteresis lies."""
        self._settings = settings
        self._appear, self._stay = settings.thresholds(threshold)
        self._tracks: list[_Track] = []
        self._identities = 0
        self._grey: Grey = np.empty((0, 0), np.uint8)
        self._factor = 1
        self._size_wh = (0, 0)
        self._path: list[Grey] = []  # from the marked frame on, every `stride`-th
        self._age, self._stride = 0, 1  # in frames since the mark

    @property
    def results(self) -> list[Grounding]:
        """One per phrase of the last `update`, in frame pixels; none before it.

        `found` is by hysteresis; `score` is that of the last grounding that was believed.
        """
        return [
            Grounding(track.text, self._visible(track.box), track.score, track.found)
            for track in self._tracks
        ]

    @property
    def fresh(self) -> tuple[bool, ...]:
        """Which results a grounding has set since the last `advance`; the others were carried."""
        return tuple(track.fresh for track in self._tracks)

    @property
    def identities(self) -> tuple[int, ...]:
        """A number per result: as long as it is the same, so is the object. 0: not yet found."""
        return tuple(track.identity for track in self._tracks)

    def advance(self, frame: NDArray[np.uint8]) -> None:
        """Carry the boxes of what is found to the next frame, (H, W, 3) uint8 BGR."""
        previous = self._grey
        self._factor = max(1, round(max(frame.shape) / self._settings.side))
        self._size_wh = (frame.shape[1], frame.shape[0])
        self._grey = _reduced(frame, self._factor)
        if self._path:
            self._age += 1
            if self._age % self._stride == 0:
                self._path.append(self._grey)
            if len(self._path) > self._settings.waypoints:
                del self._path[1::2]
                self._stride *= 2
        moving = [track for track in self._tracks if track.found]
        boxes = np.array([track.box for track in moving]).reshape(-1, 4)
        boxes, followed = carry(previous, self._grey, boxes, self._settings)
        for track in self._tracks:
            track.fresh = False
        for track, box, sure in zip(moving, boxes, followed, strict=True):
            track.box, track.followed = box, track.followed and bool(sure)
            track.found = self._visible_part(box) >= self._settings.visible

    def mark(self) -> None:
        """The present frame is the one that the next `update` is about."""
        self._path, self._age, self._stride = [self._grey], 0, 1

    def update(self, groundings: Sequence[Grounding]) -> None:
        """Merge groundings of the marked frame, moved to the present. They set the phrases."""
        boxes = np.array([result.box for result in groundings], np.float64) / self._factor
        if self._path and self._path[-1] is not self._grey:
            self._path.append(self._grey)
        for earlier, later in pairwise(self._path):
            boxes, _ = carry(earlier, later, boxes, self._settings)
        self._path = []
        old, self._tracks = self._tracks, []
        for grounding, box in zip(groundings, boxes, strict=True):
            track = next((track for track in old if track.text == grounding.text), None)
            if track is not None:
                old.remove(track)
            self._tracks.append(self._decide(track, grounding, box))

    def _decide(self, track: _Track | None, grounding: Grounding, box: Box) -> _Track:
        text, score = grounding.text, grounding.score
        identity = track.identity if track else 0
        if track and track.found:
            here = [clip_xyxy(edges, self._grey.shape[::-1])[None] for edges in (track.box, box)]
            same = bool(iou_xyxy(*here)[0, 0] >= self._settings.same)
            if score >= self._stay and same:
                weight = self._settings.weight if track.followed else 1.0
                merged = track.box + weight * (box - track.box)
                return _Track(text, merged, score, True, identity)
            if (score < self._stay or track.followed) and track.misses < self._settings.patience:
                track.misses += 1
                return track
        if score < self._appear:
            return _Track(text, box, score, False, identity)
        self._identities += 1
        return _Track(text, box, score, True, self._identities)

    def _visible(self, box: Box) -> tuple[float, float, float, float]:
        left, top, right, bottom = clip_xyxy(box * self._factor, self._size_wh).tolist()
        return left, top, right, bottom

    def _visible_part(self, box: Box) -> float:
        left, top, right, bottom = self._visible(box)
        area = float(np.prod(box[2:] - box[:2])) * self._factor**2
        return (right - left) * (bottom - top) / area if area > 0 else 0.0


def _reduced(frame: NDArray[np.uint8], factor: int) -> Grey:
    """(H // factor, W // factor): by a whole number, which OpenCV averages fast and exactly."""
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    whole = frame[: height * factor, : width * factor]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
