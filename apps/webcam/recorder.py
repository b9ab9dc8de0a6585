"""Annotated videos and pictures of what is seen, under names that are free."""

import time
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.video_file import VideoFile
from sdk._internal.closing import Closing
from sdk.inputs.sources import FrameSource


class Recorder(Closing):
    """Videos, one after the other, of the frames between `start` and `stop`.

    Of a live source a frame is repeated until the next one is there, so that the video runs at the
    source's true speed; what is held back is left out.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._video: VideoFile | None = None
        self._path = Path()
        self._elapsed = 0.0
        self._last: float | None = None
        self.written: list[Path] = []
        """Finished videos."""

    @property
    def seconds(self) -> float | None:
        """Length of the video so far; None when none is recorded."""
        return self._video.frames / self._source.fps if self._video else None

    def start(self, path: str | Path) -> None:
        """Raises GroundingError."""
        self._video = VideoFile(path, self._source.fps, self._source.size_wh)
        self._path, self._elapsed, self._last = Path(path), 0.0, None

    def write(self, image: NDArray[np.uint8], now: float) -> None:
        """Append an annotated frame that is there at `now`, in seconds of any clock."""
        if self._video is None:
            return
        if self._last is not None:
            self._elapsed += now - self._last
        elif self._video.frames:
            self._elapsed += 1 / self._source.fps
        self._last = now
        due = 1 + int(self._elapsed * self._source.fps)
        self._video.write(image, max(0, due - self._video.frames) if self._source.live else 1)

    def hold(self) -> None:
        """What passes from here to the next frame is no part of the video."""
        self._last = None

    def stop(self) -> Path | None:
        """Finish the video. Its path; None when it has no frame. Raises GroundingError."""
        if self._video is None:
            return None
        video, self._video = self._video, None
        video.close()
        if not video.frames:
            return None
        self.written.append(self._path)
        return self._path

    def close(self) -> None:
        self.stop()


def free_path(kind: str, suffix: str) -> Path:
    """As snapshot-20260131-235900.jpg in the current folder, numbered where that exists."""
    stamp = time.strftime(f"{kind}-%Y%m%d-%H%M%S")
    paths = (Path(f"{stamp}{f'-{number}' if number > 1 else ''}{suffix}") for number in count(1))
    return next(path for path in paths if not path.exists())
