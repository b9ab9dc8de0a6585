"""How fast frames come and phrases are grounded."""

import statistics
import time
from collections import deque
from itertools import pairwise
from typing import NamedTuple

from sdk.streaming.stream import StreamResult

RECENT = 30
"""Frames that the figures are medians of."""
KEPT = 120
"""Frames of the graph."""


class Sample(NamedTuple):
    """One frame's times in seconds; None where there is none."""

    latency: float | None
    """From reading to showing. Of a file frames are read ahead: it would be waiting."""
    grounding: float | None
    """What the grounding took that set the results."""


class Meter:
    """Frame rates and times of the frames shown or written."""

    def __init__(self, live: bool, max_frames: int | None) -> None:
        self.frames = 0
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.max_frames = max_frames
        self._live = live
        self._started = time.perf_counter()
        self._ends: deque[float] = deque(maxlen=RECENT + 1)
        self._groundings: deque[float] = deque(maxlen=10_000)

    def add(self, seen: StreamResult) -> None:
        """`seen`: a frame that is shown or written now."""
        self.frames += 1
        grounding = seen.inference if any(seen.fresh) else None
        self.samples.append(Sample(seen.latency if self._live else None, grounding))
        self._ends.append(time.perf_counter())
        if grounding is not None:
            self._groundings.append(grounding)

    @property
    def full(self) -> bool:
        """Whether there have been `max_frames`."""
        return self.frames == self.max_frames

    @property
    def fps(self) -> float:
        """Frames a second: a median, which a pause does not change. 0 before the second frame."""
        intervals = [end - start for start, end in pairwise(self._ends)]
        return 1 / statistics.median(intervals) if intervals else 0.0

    @property
    def groundings_per_second(self) -> float:
        recent = list(self.samples)[-RECENT:]
        fresh = sum(sample.grounding is not None for sample in recent)
        return self.fps * fresh / len(recent) if recent else 0.0

    def text(self) -> str:
        """As "24.8 FPS | 12.1 groundings/s | 31 ms", the last one a grounding's median."""
        rates = f"{self.fps:.1f} FPS | {self.groundings_per_second:.1f} groundings/s"
        recent = [sample.grounding for sample in self.samples if sample.grounding is not None]
        return f"{rates} | {1000 * statistics.median(recent):.0f} ms" if recent else rates

    def summary(self) -> str:
        if not self.frames:
            return "0 frames"
        seconds = time.perf_counter() - self._started
        median = 1000 * statistics.median(self._groundings or [0.0])
        return f"{self.frames} frames in {seconds:.1f} s, median grounding {median:.1f} ms"
