"""Reads a source on a thread of its own, and hands its frames to another thread."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from queue import Full
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk._internal.mailbox import Mailbox
from sdk.errors import GroundingError, SourceError, StreamOverflowError
from sdk.inputs.frames import FrameLike, as_bgr
from sdk.inputs.sources import FrameSource, join_reader, open_source
from sdk.inputs.video import TimedFrame

SourceLike: TypeAlias = str | int | os.PathLike[str] | Iterable[FrameLike]

POLICIES = ("auto", "newest", "all")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
"""Before a lost source is opened again; it doubles with each attempt in between."""
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


class Capture:
    """A running thread that reads frames into `shots`.

    A camera, a stream or a pipeline that dies is opened again, with longer and longer pauses. Where
    the newest frame is wanted of a video file, the file plays at its own speed, as a camera would.
    """

    def __init__(
        self, source: SourceLike, policy: str, backlog: int, reconnect_seconds: float
    ) -> None:
        """See `Grounder.stream`. Raises what `open_source` raises, GroundingError."""
        if policy not in POLICIES:
            raise GroundingError(f"policy: expected one of {', '.join(POLICIES)}, got {policy!r}")
        if backlog < 1:
            raise GroundingError(f"backlog: expected 1 or more frames, got {backlog}")
        if not reconnect_seconds >= 0:
            raise GroundingError(f"reconnect_seconds: expected 0 or more, got {reconnect_seconds}")
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
        self.thread = threading.Thread(target=self._run, name="grounder capture", daemon=True)
        self.thread.start()

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
        join_reader(self.thread, self._name)

    @property
    def _name(self) -> str:
        return self.source.name if self.source else "the source"

    def _run(self) -> None:
        try:
            for number, (frame, media_time) in enumerate(self._frames()):
                shot = Shot(frame, number, media_time, time.time(), time.perf_counter())
                if not self._put(shot):
                    break
            self.shots.close()
        except Exception as error:  # whatever it is, the consumer is the one to hear of it
            self.shots.close(error)
        except BaseException as error:  # as SystemExit, which is for the thread it is raised on
            ended = SourceError(
                f"expected frames or their end from {self._name}, got {error!r}; end it by "
                "returning, or by an error that is an Exception"
            )
            ended.__cause__ = error
            self.shots.close(ended)
        finally:
            self._close()

    def _put(self, shot: Shot) -> bool:
        try:
            return self.shots.put(shot, wait=not self._live)
        except Full:
            raise StreamOverflowError(
                f'policy="all": expected at most {self._backlog} frames of {self._name} to wait, '
                f"got one more; they come faster than they are grounded and taken. Use "
                f'policy="newest", which leaves frames out, a larger every= or a larger backlog='
            ) from None

    def _frames(self) -> Iterator[TimedFrame]:
        while not self._stopping.is_set():
            try:
                yield from self._once()
                return
            except SourceError as error:
                if self._spec is None or not self._live or not self._reconnect_seconds:
                    raise
                self._reopen(self._spec, error)

    def _once(self) -> Iterator[TimedFrame]:
        due = time.perf_counter()
        source = self.source
        for frame, media_time in (
            source.every_frame() if source else ((frame, None) for frame in self._source)
        ):
            due += self._interval
            bgr = as_bgr(frame)
            yield bgr if source else bgr.copy(), media_time  # an iterable's may be used again
            if self._interval:
                self._stopping.wait(max(0.0, due - time.perf_counter()))

    def _reopen(self, spec: str | int | os.PathLike[str], error: SourceError) -> None:
        self._close()
        lost = time.perf_counter()
        deadline = lost + self._reconnect_seconds
        logger.warning("%s; looking for it for %g s", error, self._reconnect_seconds)
        pause = FIRST_PAUSE_SECONDS
        while time.perf_counter() < deadline:
            if self._stopping.wait(min(pause, max(0.0, deadline - time.perf_counter()))):
                return
            try:
                self._source = open_source(spec)
                logger.info("%s is back after %.1f s", self._name, time.perf_counter() - lost)
                return
            except SourceError as again:
                error = again
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise SourceError(
            f"{spec} did not come back within {self._reconnect_seconds:g} s: {error}"
        ) from error

    def _close(self) -> None:
        if self._spec is not None and isinstance(self._source, FrameSource):
            self._source.close()
