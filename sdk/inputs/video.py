"""What OpenCV's VideoCapture opens: one thread may read it while another one closes it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk._internal.closing import Closing
from sdk._internal.opencv import cv2
from sdk.errors import SourceError

Frame = NDArray[np.uint8]
TimedFrame: TypeAlias = tuple[Frame, float | None]
"""A frame, and seconds from the beginning of its file; None where it is from no video file."""

LIVE_TIMEOUT_SECONDS = 10.0
"""Without a frame, after which a live source counts as lost."""
MOST_FRAMES = 100_000_000
"""More, and the header is wrong."""

# Read by OpenCV when FFmpeg is first used: a SourceError says what FFmpeg would print.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Video(Closing):
    """An opened camera, video file, network stream or pipeline: one thread reads, any may close."""

    def __init__(self, spec: int | str, backend: int = cv2.CAP_ANY) -> None:
        """Open it; where that fails, it has no frames.

        Raises:
            SourceError: as `named_for_opencv`.
        """
        remote = isinstance(spec, str) and "://" in spec and backend == cv2.CAP_ANY
        limits: list[int] = []
        if remote and cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):  # others may not take them
            most = int(1000 * LIVE_TIMEOUT_SECONDS)
            limits += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, most, cv2.CAP_PROP_READ_TIMEOUT_MSEC, most]
        target = named_for_opencv(spec) if isinstance(spec, str) else spec
        self._capture = cv2.VideoCapture(target, backend, limits)
        self._reading = threading.Lock()
        self.closed = False
        self.number = -1
        """Of the last frame, from 0."""
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 240 else 30.0  # cameras and streams report 0, NaN or 90000
        """Frames per second, on average, as the header or driver says."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(count) if 0 < count < MOST_FRAMES else 0
        """Frames that the header says there are, not always rightly; 0 if it does not say."""
        self.live = (
            backend == cv2.CAP_GSTREAMER or isinstance(spec, int) or (remote and not self.announced)
        )

    def read(self) -> TimedFrame | None:
        """The next frame, waited for; None after the last one, or when it is closed."""
        timed = None
        with self._reading:
            got, frame = self._capture.read() if not self.closed else (False, None)
            if got:
                self.number += 1
                time_s = None if self.live else self._media_time()
                timed = np.asarray(frame, np.uint8), time_s
        if self.closed:
            self.close()
        return timed

    def _media_time(self) -> float:
        """Seconds from the beginning of the file to its frame `number`, the last that was read."""
        told = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, 6)
        # Some containers have no times; 0 is then told of every frame.
        return told if told > 0 or self.number == 0 else self.number / self.fps

    def close(self) -> None:
        """Let go of it at once; where another thread is reading, when that has its frame.

        OpenCV would crash if it were released within a read.
        """
        self.closed = True
        if self._reading.acquire(blocking=False):
            self._capture.release()
            self._reading.release()


def is_cut_off(path: str) -> bool:
    """Whether a file is an AVI that is shorter than its first chunk says."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        form, size, kind = file.read(4), int.from_bytes(file.read(4), "little"), file.read(4)
    return form == b"RIFF" and kind == b"AVI " and 8 + size > os.path.getsize(path)


def named_for_opencv(path: str) -> str:
    """`path` as it is.

    Raises:
        SourceError: the name is not UTF-8: OpenCV would crash.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        named = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise SourceError(f"expected a video's name in UTF-8, got {named!r}; rename it") from error
    return path


@contextmanager
def without_warnings() -> Iterator[None]:
    """OpenCV prints what the SourceError is about to say."""
    logging: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the two functions at its top
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # LOG_LEVEL_SILENT
    try:
        yield
    finally:
        logging.setLogLevel(level)
