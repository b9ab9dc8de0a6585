"""Reads a source on a thread of its own, and hands its frames to another thread."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from queue import Empty, Full
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import choice, number, whole
from sdk._internal.mailbox import Mailbox
from sdk.errors import SourceError, StreamOverflowError
from sdk.inputs.frames import FrameLike, as_bgr
from sdk.inputs.sources import FrameSource, join_reader, open_source
from sdk.inputs.video import LIVE_TIMEOUT_SECONDS, TimedFrame

SourceLike: TypeAlias = str | int | os.PathLike[str] | Iterable[FrameLike]

POLICIES = ("auto", "newest", "all")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
"""Before a lost source is opened again; it doubles with each attempt in between."""
HANG_SECONDS = LIVE_TIMEOUT_SECONDS + 5.0
"""Without a frame of a live source, after which its read is left to itself: OpenCV is late."""
READ_AHEAD = 4
"""Frames of a source that can wait for its reader."""

logger = logging.getLogger("grounder.stream")


class Shot(NamedTuple):
    """A frame and when it was read."""

    frame: NDArray[np.uint8]
    number: int
    media_time: float | None
    """Seconds from the beginning of a video file."""
    timestamp: float
    """Seconds since 1970."""
    read: float
    """`time.perf_counter()`."""


class Capture(Iterator[Shot]):
    """A running thread that reads frames, and their iterator for another thread.

    A camera, a stream or a pipeline that dies is opened again, with longer and longer pauses. Where
    the newest frame is wanted of a video file, the file plays at its own speed, as a camera would.
    """

    def __init__(
        self, source: SourceLike, policy: str, backlog: int, reconnect_seconds: float
    ) -> None:
        """Open the source and begin to read. See `Grounder.stream`.

        It may also raise what `open_source` raises.

        Raises:
            SourceError: the source is neither one that opens nor an iterable.
            ArgumentError: a number is out of range, or the policy is unknown.
        """
        choice("policy", policy, POLICIES)
        backlog = whole("backlog", backlog, 1)
        reconnect_seconds = number("reconnect_seconds", reconnect_seconds, 0)
        self._spec: str | int | os.PathLike[str] | None = None
        if isinstance(source, (str, int, os.PathLike)):
            self._spec = source
            self._source: Iterable[FrameLike] = open_source(source)
        elif isinstance(source, Iterable):
            self._source = source
        else:
            kind = type(source).__name__
            raise SourceError(f"expected a source that opens or an iterable of frames, got {kind}")
        opened = self.source
        self._live = opened is not None and opened.live
        self._reconnect_seconds = reconnect_seconds
        self.newest = policy == "newest" or (policy == "auto" and self._live)
        self._interval = 1 / opened.fps if opened and self.newest and not self._live else 0.0
        self._backlog = 1 if self.newest else backlog if self._live else READ_AHEAD
        self.shots: Mailbox[Shot] = Mailbox(self._backlog, newest=self.newest)
        self._stopping = threading.Event()
        self._reopening = False
        self._number = 0
        self._start()

    @property
    def source(self) -> FrameSource | None:
        """What frames are read from now; None for an iterable that is no FrameSource."""
        return self._source if isinstance(self._source, FrameSource) else None

    def stop(self) -> None:
        """Have the thread end after the frame it is waiting for; does not wait for it."""
        self._stopping.set()
        self.shots.stop()

    def join(self) -> None:
        """After `stop`, wait for the thread, up to `sdk.inputs.sources.CLOSE_SECONDS`."""
        join_reader(self._thread, self._name)

    def __next__(self) -> Shot:
        """The next frame. Raises what ended the source, once."""
        while True:
            try:
                return self.shots.get(HANG_SECONDS if self._live else None)
            except Empty:
                if not self._reopening:
                    self._leave_hanging()

    def _leave_hanging(self) -> None:
        """Not every OpenCV gives up a GStreamer pipeline that hangs."""
        error = SourceError(
            f"{self._name} has sent nothing for {HANG_SECONDS:g} s; check the cable or network"
        )
        if self._spec is None or not self._reconnect_seconds:
            raise error
        self._start(error)

    def _start(self, lost: SourceError | None = None) -> None:
        """A thread in place of the one before, which ends when its source answers."""
        self._thread = threading.Thread(
            target=self._run, args=[lost], name="grounder capture", daemon=True
        )
        self._thread.start()

    @property
    def _replaced(self) -> bool:
        return threading.current_thread() is not self._thread

    @property
    def _name(self) -> str:
        return self.source.name if self.source else "the source"

    def _run(self, lost: SourceError | None) -> None:
        end: Exception | None = None
        try:
            for frame, media_time in self._frames(lost):
                now = time.perf_counter()
                shot = Shot(frame, self._number, media_time, time.time(), now)
                if self._replaced or not self._put(shot):
                    break
                self._number += 1
        except Exception as error:  # whatever it is, the consumer is the one to hear of it
            end = error
        except BaseException as error:  # as SystemExit, which is for the thread it is raised on
            end = SourceError(
                f"expected frames or their end from {self._name}, got {error!r}; end it by "
                "returning, or by an error that is an Exception"
            )
            end.__cause__ = error
        if not self._replaced:
            self.shots.close(end)

    def _put(self, shot: Shot) -> bool:
        try:
            return self.shots.put(shot, wait=not self._live)
        except Full:
            raise StreamOverflowError(
                f'policy="all": expected at most {self._backlog} frames of {self._name} to wait, '
                f"got one more; they come faster than they are grounded and taken. Use "
                f'policy="newest", which leaves frames out, a larger every= or a larger backlog='
            ) from None

    def _frames(self, lost: SourceError | None) -> Iterator[TimedFrame]:
        """Frames until the source ends or is wanted no more; a lost one is opened again.

        Args:
            lost: why the source has to be opened again before anything is read.
        """
        while not self._stopping.is_set():
            source = self._source if lost is None else self._reopened(lost)
            try:
                yield from self._once(source)
                return
            except SourceError as error:
                if self._spec is None or not self._live or not self._reconnect_seconds:
                    raise
                lost = error
            finally:
                if self._spec is not None and isinstance(source, FrameSource):
                    source.close()

    def _once(self, source: Iterable[FrameLike]) -> Iterator[TimedFrame]:
        due = time.perf_counter()
        timed: Iterable[TimedFrame]
        if isinstance(source, FrameSource):
            timed = source.every_frame()
        else:
            timed = ((as_bgr(frame).copy(), None) for frame in source)  # it may be used again
        for frame, media_time in timed:
            due += self._interval
            yield as_bgr(frame), media_time
            if self._interval:
                self._stopping.wait(max(0.0, due - time.perf_counter()))

    def _reopened(self, error: SourceError) -> Iterable[FrameLike]:
        """The source, or nothing when it is wanted no more."""
        assert self._spec is not None
        self._reopening = True
        lost = time.perf_counter()
        deadline = lost + self._reconnect_seconds
        logger.warning("%s; looking for it for %g s", error, self._reconnect_seconds)
        pause = FIRST_PAUSE_SECONDS
        while time.perf_counter() < deadline:
            wait = min(pause, max(0.0, deadline - time.perf_counter()))
            if self._stopping.wait(wait) or self._replaced:
                return ()
            try:
                self._source = open_source(self._spec)
            except SourceError as again:
                error = again
            else:
                self._reopening = False
                logger.info("%s is back after %.1f s", self._name, time.perf_counter() - lost)
                return self._source
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise SourceError(
            f"{self._spec} did not come back within {self._reconnect_seconds:g} s: {error}"
        ) from error
