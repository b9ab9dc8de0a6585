"""Frames from a camera, a video, a network stream, GStreamer or a folder of pictures.

    with open_source("street.mp4") as source:
        for frame in source:        # (H, W, 3) uint8 BGR
            ...

A camera, a pipeline, and a stream without an end, is live: a thread reads it and keeps the newest
frame only, because OpenCV queues frames for a slow reader, who would see an ever older past.
"""

import atexit
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk._internal.closing import Closing
from sdk._internal.mailbox import Mailbox
from sdk._internal.opencv import cv2
from sdk.errors import DependencyError, SourceError
from sdk.inputs.frames import as_bgr

Frame = NDArray[np.uint8]

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PICTURES_PER_SECOND = 1.0
LIVE_TIMEOUT_SECONDS = 10.0

# Read by OpenCV when FFmpeg is first used: a SourceError says what FFmpeg would print.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class FrameSource(Closing):
    """An iterator of frames, (H, W, 3) uint8 BGR. Made by `open_source`."""

    def __init__(
        self,
        frames: Iterator[Frame],
        *,
        fps: float,
        size_wh: tuple[int, int],
        live: bool = False,
        stills: bool = False,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        self._frames = frames
        self._release = release
        self.fps = fps
        """Frames per second to show or save them at."""
        self.size_wh = size_wh
        """Width and height of the first frame in pixels; the pictures of a folder may differ."""
        self.live = live
        """Whether frames come at their own pace and are lost when nobody asks in time."""
        self.stills = stills
        """Whether frames are separate pictures, with no motion from one to the next to follow."""

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next frame.

        Raises SourceError when a live source stops, FrameError for a picture that does not decode.
        """
        return next(self._frames)

    def close(self) -> None:
        """Let go of the camera or the file; leaving the `with` block does it."""
        self._release()


def open_source(spec: str | int | os.PathLike[str]) -> FrameSource:
    """Open whatever `spec` names, and read its first frame.

    `spec`: a camera's index (0 or "0"), a video file, a URL (rtsp://, http://, ...), a picture, a
    folder of pictures, a glob pattern ("shots/*.jpg") or a GStreamer pipeline that ends in
    "! appsink" with format=BGR before it. Pictures come in natural order, 2 before 10.

    Raises SourceError when it does not exist or yields no frame, FrameError for a picture,
    DependencyError for a pipeline when OpenCV is built without GStreamer.
    """
    text = os.fspath(spec) if isinstance(spec, os.PathLike) else str(spec)
    if re.search(r"!\s*appsink\b", text):
        return _open_pipeline(text)
    if re.fullmatch(r"\d+", text):
        return _open_capture(
            int(text),
            f"camera {text}",
            "check that it is plugged in, free and permitted (ls -l /dev/video*)",
        )
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text):
        return _open_capture(
            text, f"stream {text}", "check the address, and that it plays (ffplay)"
        )
    path = Path(text)
    if os.path.isdir(text):  # as isfile below: Path's own raise for what is too long for a name
        files = (file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
        return _open_pictures([str(file) for file in files], text)
    if os.path.isfile(text):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            return _open_pictures([text], text)
        return _open_capture(text, f"video {text}", "check that it plays (ffplay), or convert it")
    if has_magic(text):
        return _open_pictures(glob(text), text)
    raise SourceError(
        "expected a camera index, a video file, a URL, a picture, a folder of pictures or a "
        f"GStreamer pipeline that ends in appsink, got {text!r}, which does not exist"
    )


def _open_pictures(paths: Sequence[str], text: str) -> FrameSource:
    if not paths:
        raise SourceError(f"expected pictures ({' '.join(sorted(PICTURE_SUFFIXES))}) in {text!r}")
    first, *others = sorted(paths, key=natural_order)
    frame = as_bgr(first)
    height, width = frame.shape[:2]
    frames = chain([frame], map(as_bgr, others))
    return FrameSource(frames, fps=PICTURES_PER_SECOND, size_wh=(width, height), stills=True)


def _open_pipeline(text: str) -> FrameSource:
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise DependencyError(
            "a pipeline needs an OpenCV with GStreamer, got one without, as all from pip are. Fix: "
            "sudo apt-get install python3-opencv, make the environment with python3 -m venv "
            "--system-site-packages, and there pip uninstall -y opencv-python"
        )
    advice = "check that it plays with fakesink for appsink (gst-launch-1.0)"
    return _open_capture(text, f"pipeline {text}", advice, cv2.CAP_GSTREAMER)


def _open_capture(
    spec: int | str, name: str, advice: str, backend: int = cv2.CAP_ANY
) -> FrameSource:
    with without_warnings():
        target = named_for_opencv(spec) if isinstance(spec, str) else spec
        capture = cv2.VideoCapture(target, backend)
        first = _read(capture) if capture.isOpened() else None
    if first is None:
        capture.release()
        raise SourceError(f"{name} yields no frames; {advice}")
    if first.shape[2:] != (3,):
        capture.release()
        raise SourceError(
            f"expected BGR frames, (H, W, 3), from {name}, got {first.shape}; have it end in "
            "videoconvert ! video/x-raw,format=BGR ! appsink"
        )
    height, width = first.shape[:2]
    fps = announced_fps(capture)
    if (
        backend == cv2.CAP_GSTREAMER
        or isinstance(spec, int)
        or ("://" in spec and capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0)
    ):
        newest = _Newest(capture, first, name)
        return FrameSource(
            newest, fps=fps, size_wh=(width, height), live=True, release=newest.release
        )
    frames = chain([first], _remaining(capture))
    return FrameSource(frames, fps=fps, size_wh=(width, height), release=capture.release)


def named_for_opencv(path: str) -> str:
    """`path` as it is. Raises SourceError for a name that is not UTF-8: OpenCV would crash."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        named = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise SourceError(f"expected a video's name in UTF-8, got {named!r}; rename it") from error
    return path


def announced_fps(capture: cv2.VideoCapture) -> float:
    """Frames per second, on average, as the header or driver says; 30 where that cannot be."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 1 <= fps <= 240 else 30.0  # cameras and streams report 0, NaN or 90000


def _read(capture: cv2.VideoCapture) -> Frame | None:
    got, frame = capture.read()
    return np.asarray(frame, np.uint8) if got else None


def _remaining(capture: cv2.VideoCapture) -> Iterator[Frame]:
    while (frame := _read(capture)) is not None:
        yield frame


class _Newest(Iterator[Frame]):
    """The newest frame of a live capture, each at most once."""

    def __init__(self, capture: cv2.VideoCapture, first: Frame, name: str) -> None:
        self._capture = capture
        self._name = name
        self._frames: Mailbox[Frame] = Mailbox(1, newest=True)
        self._frames.put(first)
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()
        # A thread that is inside OpenCV when Python exits aborts the process.
        atexit.register(self.release)

    def _read(self) -> None:
        while (frame := _read(self._capture)) is not None and self._frames.put(frame):
            pass
        self._frames.close()
        self._capture.release()

    def __next__(self) -> Frame:
        try:
            return self._frames.get(LIVE_TIMEOUT_SECONDS)
        except (StopIteration, Empty):
            raise SourceError(
                f"{self._name} stopped sending frames; check the cable or network"
            ) from None

    def release(self) -> None:
        atexit.unregister(self.release)
        self._frames.stop()
        self._thread.join(LIVE_TIMEOUT_SECONDS)  # the thread may hang in a dead connection


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


def natural_order(path: str) -> list[tuple[int, str]]:
    """ "shot2" before "shot10"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path)]
