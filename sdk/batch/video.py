"""Chosen frames of a video, from a known place on, exactly.

Nothing here seeks. OpenCV estimates where a frame is in the file and may miss it (opencv/opencv
issue 9053), most of all where the frame rate varies. So a reader only goes forward: it decodes what
it passes, without converting it to pixels, and knows every frame by counting.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import number, whole
from sdk.errors import SourceError
from sdk.inputs.video import Video, without_warnings

MOST_FPS = 1e6


@dataclass(frozen=True)
class Sampling:
    """Which frames are grounded.

    Raises:
        ArgumentError: `every` is below 1, or `fps` not above 0.
    """

    every: int = 1
    """Every n-th frame."""
    fps: float | None = None
    """Instead: so many a second, evenly by the frames' times; all where the video has fewer."""

    def __post_init__(self) -> None:
        whole("--every", self.every, 1)
        if self.fps is not None:
            number("--fps", self.fps, 0, MOST_FPS, above=True)

    def takes(self, number: int, time_s: float, before_s: float) -> bool:
        """Whether a frame is grounded.

        Args:
            number: of the frame, from 0.
            time_s: when it is shown, in seconds.
            before_s: the time of the frame before it.
        """
        if self.fps is None:
            return number % self.every == 0
        period, before = (math.floor(time * self.fps + 1e-6) for time in (time_s, before_s))
        return period > before

    def stride(self, video_fps: float) -> float:
        """Frames from one that is grounded to the next, on average."""
        return self.every if self.fps is None else max(1.0, video_fps / self.fps)


class VideoReader(Video):
    """Goes through a video frame by frame."""

    def __init__(self, path: str) -> None:
        """Open a video file.

        Raises:
            SourceError: there is no such file, OpenCV cannot open it, or its name is not UTF-8.
        """
        self.path = path
        if not os.path.isfile(path):  # a list may name anything; OpenCV would open addresses too
            raise SourceError("expected a video file, which does not exist")
        with without_warnings():
            super().__init__(path)
        if not self._capture.isOpened():
            raise SourceError(
                "expected a video that OpenCV can open; check that it plays (ffplay), or convert it"
            )
        self.time_s, self.before_s = -1.0, -1.0
        """When the present frame is shown, and the one before it, in seconds; -1 before them."""

    def advance(self) -> bool:
        """Go to the next frame; False after the last one."""
        if not self._capture.grab():
            return False
        self.number += 1
        self.before_s = self.time_s
        self.time_s = self._media_time()
        return True

    def frame(self) -> NDArray[np.uint8] | None:
        """The present frame, (H, W, 3) uint8 BGR; None when it does not decode."""
        got, image = self._capture.retrieve()
        return np.asarray(image, np.uint8) if got else None


def chosen(reader: VideoReader, stop: int | None, sampling: Sampling) -> Iterator[VideoReader]:
    """The reader at each frame to ground, up to the frame before `stop`; None: to the end."""
    while (stop is None or reader.number + 1 < stop) and reader.advance():
        if sampling.takes(reader.number, reader.time_s, reader.before_s):
            yield reader
