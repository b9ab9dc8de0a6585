"""Reads a source on a thread of its own, and hands its frames to another thread."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk._internal.mailbox import Mailbox
from sdk.errors import GroundingError, SourceError
from sdk.inputs.frames import FrameLike, as_bgr
from sdk.inputs.sources import FrameSource, open_source

SourceLike: TypeAlias = str | int | os.PathLike[str] | Iterable[FrameLike]

POLICIES = ("auto", "newest", "all")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
"""Before a lost source is opened again; it doubles with each attempt in between."""


class Shot(NamedTuple):
    """A frame and when it was read."""

    frame: NDArray[np.uint8]
    number: int
    timestamp: float
    """Seconds since 1970."""
    read: float
    """`time.perf_counter()`."""


class Capture:
    """A running thread that reads frames into `shots`.

    A camera, a stream or a pipeline that dies is opened again, with longer and longer pauses. Where
    the newest frame is wanted of a video file, the file plays at its own speed, as a camera would.
    """

    def __init__(self, source: SourceLike, policy: str, reconnect_seconds: float) -> None:
        """See `Grounder.stream`. Raises what `open_source` raises, GroundingError."""
        if policy not in POLICIES:
            raise GroundingError(f"policy: expected one of {', '.join(POLICIES)}, got {policy!r}")
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
        self.shots: Mailbox[Shot] = Mailbox(1 if self.newest else 4, newest=self.newest)
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

    def _run(self) -> None:
        try:
            for number, frame in enumerate(self._frames()):
                if not self.shots.put(Shot(frame, number, time.time(), time.perf_counter())):
                    break
            self.shots.close()
        except Exception as error:  # whatever it is, the consumer is the one to hear of it
            self.shots.close(error)
        finally:
            self._close()

    def _frames(self) -> Iterator[NDArray[np.uint8]]:
        while not self._stopping.is_set():
            try:
                yield from self._once()
                return
            except SourceError as error:
                if self._spec is None or not self._live or not self._reconnect_seconds:
                    raise
                self._reopen(self._spec, error)

    def _once(self) -> Iterator[NDArray[np.uint8]]:
        due = time.perf_counter()
        for frame in self._source:
            due += self._interval
            bgr = as_bgr(frame)
            yield bgr if isinstance(self._source, FrameSource) else bgr.copy()  # may be reused
            if self._interval:
                self._stopping.wait(max(0.0, due - time.perf_counter()))

    def _reopen(self, spec: str | int | os.PathLike[str], error: SourceError) -> None:
        self._close()
        deadline = time.perf_counter() + self._reconnect_seconds
        pause = FIRST_PAUSE_SECONDS
        while time.perf_counter() < deadline:
            if self._stopping.wait(min(pause, max(0.0, deadline - time.perf_counter()))):
                return
            try:
                self._source = open_source(spec)
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
