"""Frames from a camera, a video, a network stream, GStreamer or a folder of pictures.

    with open_source("street.mp4") as source:
        for frame in source:        # (H, W, 3) uint8 BGR
            ...

A camera, a pipeline, and a stream without an end, is live: a thread reads it and keeps the newest
frame only, because OpenCV queues frames for a slow reader, who would see an ever older past. A
`Stream` reads with its own thread instead.
"""

import atexit
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from queue import Empty

from sdk._internal.arguments import whole
from sdk._internal.closing import Closing
from sdk._internal.mailbox import Mailbox
from sdk._internal.opencv import cv2
from sdk.errors import DependencyError, FrameError, SourceError
from sdk.inputs.frames import as_bgr
from sdk.inputs.video import (
    LIVE_TIMEOUT_SECONDS,
    Frame,
    TimedFrame,
    Video,
    is_cut_off,
    without_warnings,
)

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PICTURES_PER_SECOND = 1.0
MOST_CAMERAS = 999
CLOSE_SECONDS = 3.0
"""That closing waits for a thread which the source may block for ever."""
MISSING_FRAMES, MISSING_PART = 2, 0.02
"""Of a video, by which what its header announces may be wrong."""

logger = logging.getLogger("grounder.source")


@dataclass(eq=False)
class FrameSource(Closing):
    """An iterator of frames, (H, W, 3) uint8 BGR. Made by `open_source`."""

    _frames: Iterator[TimedFrame]
    fps: float
    """Frames per second to show or save them at."""
    size_wh: tuple[int, int]
    """Width and height of the first frame in pixels; the pictures of a folder may differ."""
    live: bool = False
    """Whether frames come at their own pace and are lost when nobody asks in time."""
    stills: bool = False
    """Whether frames are separate pictures, with no motion from one to the next to follow."""
    announced: int = 0
    """Frames that a video's header says there are, not always rightly, or pictures; 0 if untold."""
    name: str = "the source"
    """What errors call it, as "camera 0"."""
    _release: Callable[[], object] = lambda: None
    _newest: "_Newest | None" = field(default=None, init=False)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next frame. Pictures that do not decode are left out, and logged.

        Raises:
            SourceError: a live source stopped, or an AVI that is cut off has given its last frame.
        """
        if self.live and self._newest is None:
            self._newest = _Newest(self._frames, self.name)
        frame, _ = next(self._newest or self._frames)
        return frame

    def every_frame(self) -> Iterator[TimedFrame]:
        """Each frame as it is read, of a live source too: for one thread, instead of iterating."""
        return self._frames if self._newest is None else self._newest

    def close(self) -> None:
        """Let go of the camera or the file; leaving the `with` block does it.

        It does not wait for a source that blocks for longer than 3 s.
        """
        self._release()
        if self._newest:
            self._newest.close()


def open_source(spec: str | int | os.PathLike[str]) -> FrameSource:
    """Open whatever `spec` names, and read its first frame.

    Args:
        spec: a camera's index (0 or "0"), a video file, a URL (rtsp://, http://, ...), a picture, a
            folder of pictures, a glob pattern ("shots/*.jpg") or a GStreamer pipeline that ends in
            "! appsink" with format=BGR before it. Pictures come in natural order, 2 before 10.

    Raises:
        SourceError: it does not exist or yields no frame.
        FrameError: no picture decodes.
        DependencyError: it is a pipeline, and OpenCV is built without GStreamer.
    """
    if isinstance(spec, int):
        spec = whole("camera", spec, 0, MOST_CAMERAS, error=SourceError)
    text = os.fspath(spec) if isinstance(spec, os.PathLike) else str(spec)
    if re.search(r"!\s*appsink\b", text):
        return _open_pipeline(text)
    if re.fullmatch(r"\d{1,3}", text):
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
        try:
            files = [str(f) for f in path.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES]
        except OSError as error:
            raise SourceError(f"cannot read the folder {text!r}: {error.strerror}") from error
        return _open_pictures(files, text)
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
    ordered = sorted(paths, key=natural_order)
    frames = _decoded(ordered)
    first = next(frames, None) or (as_bgr(ordered[0]), None)  # which says what is wrong with it
    height, width = first[0].shape[:2]
    return FrameSource(
        chain([first], frames),
        fps=PICTURES_PER_SECOND,
        size_wh=(width, height),
        stills=True,
        announced=len(ordered),
        name=f"pictures {text}",
    )


def _decoded(paths: Sequence[str]) -> Iterator[TimedFrame]:
    for path in paths:
        try:
            yield as_bgr(path), None
        except FrameError as error:
            logger.warning("a picture is left out: %s", error)


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
        video = Video(spec, backend)
        first = video.read()
    if first is None:
        video.close()
        raise SourceError(f"{name} yields no frames; {advice}")
    shape = first[0].shape
    if shape[2:] != (3,):
        video.close()
        raise SourceError(
            f"expected BGR frames, (H, W, 3), from {name}, got {shape}; have it end in "
            "videoconvert ! video/x-raw,format=BGR ! appsink"
        )
    return FrameSource(
        _frames(video, first, name, str(spec)),
        fps=video.fps,
        size_wh=(shape[1], shape[0]),
        live=video.live,
        announced=video.announced,
        name=name,
        _release=video.close,
    )


def _frames(video: Video, first: TimedFrame, name: str, path: str) -> Iterator[TimedFrame]:
    """Raises SourceError where it should go on after the last one."""
    timed: TimedFrame | None = first
    while timed is not None:
        yield timed
        timed = video.read()
    if video.closed:
        return
    if video.live:
        raise _stopped(name)
    got, announced = video.number + 1, video.announced
    if announced - got <= max(MISSING_FRAMES, MISSING_PART * announced):
        return
    told = f"{name}: expected {announced} frames, as its header announces, got {got}"
    if is_cut_off(path):
        raise SourceError(f"{told}, and the file is cut off; copy or record it again")
    logger.warning("%s; check that it plays to its end (ffplay)", told)


def _stopped(name: str) -> SourceError:
    return SourceError(f"{name} stopped sending frames; check the cable or network")


class _Newest(Iterator[TimedFrame]):
    """The newest frame of a live source, each at most once."""

    def __init__(self, frames: Iterator[TimedFrame], name: str) -> None:
        self._source = frames
        self._name = name
        self._frames: Mailbox[TimedFrame] = Mailbox(1, newest=True)
        self._thread = threading.Thread(target=self._read, name=f"grounder {name}", daemon=True)
        self._thread.start()
        # A thread that is inside OpenCV when Python exits aborts the process.
        atexit.register(self.close)

    def _read(self) -> None:
        try:
            while self._frames.put(next(self._source)):
                pass
        except (SourceError, StopIteration):
            pass  # `__next__` says so
        finally:
            self._frames.close()

    def __next__(self) -> TimedFrame:
        try:
            return self._frames.get(LIVE_TIMEOUT_SECONDS)
        except (StopIteration, Empty):
            raise _stopped(self._name) from None

    def close(self) -> None:
        atexit.unregister(self.close)
        self._frames.stop()
        join_reader(self._thread, self._name)


def join_reader(thread: threading.Thread, name: str) -> None:
    """Wait for a thread that reads a source to end, and log it when it does not."""
    thread.join(CLOSE_SECONDS)
    if thread.is_alive():
        logger.warning(
            "%s blocks: closing has waited %g s for its thread, which stays until it answers",
            name,
            CLOSE_SECONDS,
        )


def natural_order(path: str) -> list[tuple[int, str]]:
    """ "shot2" before "shot10"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path)]
