"""Groundings of a camera, a video or any frames as they come. Made by `Grounder.stream`.

    capture ── frames ──> follow ── results ──> consumer
                          │    ▲
                          ▼    │ late, moved to the present
                          ground

Each on its own thread, with bounded queues between them. For live sources a newer frame takes the
place of one that nobody has asked for, unless all are wanted; for the others everyone waits for the
slowest.
"""

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import number, short, whole
from sdk._internal.closing import Closing
from sdk.bundle.manifest import Manifest
from sdk.detail import MOST_DETAIL
from sdk.errors import ArgumentError, StreamEnded
from sdk.inputs.sources import FrameSource
from sdk.protocols import Grounds
from sdk.results import Grounding
from sdk.streaming.capture import Capture, SourceLike
from sdk.streaming.tracking import Tracking
from sdk.streaming.worker import Found, Worker, asked_of


@dataclass(frozen=True, slots=True)
class StreamResult:
    """A frame and where the phrases are in it."""

    frame: NDArray[np.uint8]
    """(H, W, 3) uint8 BGR; the caller's to draw on."""
    results: list[Grounding]
    """One per phrase, in the order of the phrases."""
    fresh: tuple[bool, ...]
    """Per result: set by a grounding that has just come, not carried from the frame before."""
    track_ids: tuple[int, ...]
    """Per result: the same number as long as it is the same object; 0 if not found so far. Those of
    all instances are their own."""
    number: int
    """Of the frame, from 0; frames that were passed over count. With policy "newest" the last one
    may come twice: again with the grounding that was not ready before."""
    media_time: float | None
    """Seconds from the beginning of a video file; None for anything else."""
    timestamp: float
    """When the frame was read: seconds since 1970."""
    latency: float
    """Seconds from the frame's reading to the consumer's getting the result."""
    inference: float
    """Seconds that the last grounding before the results took, without waiting for its turn."""


class Stream(Closing, Iterator[StreamResult]):
    """An iterator of `StreamResult`, to be closed, best by a `with` block.

    Examples:
        >>> with grounder.stream(0, ["the cup", "the red pen"]) as stream:
        ...     for result in stream:
        ...         show(draw(result.frame, result.results))
    """

    def __init__(
        self,
        grounder: Grounds,
        source: SourceLike,
        phrases: str | Sequence[str],
        *,
        tracking: Tracking | Literal["auto"] | None,
        every: int,
        policy: str,
        backlog: int,
        reconnect_seconds: float,
        detail: int,
    ) -> None:
        """See `Grounder.stream`."""
        every = whole("every", every, 1)
        self.detail = whole("detail", detail, 1, MOST_DETAIL)
        """See `Grounder.ground`."""
        _check_tracking(tracking, "auto")
        # Encoded now: a phrase that cannot be understood should not end the stream.
        asked = asked_of(grounder, phrases)
        capture = Capture(source, policy, backlog, reconnect_seconds)
        if isinstance(tracking, str):  # between separate pictures there is nothing to follow
            stills = capture.source is not None and capture.source.stills
            tracking = None if stills else Tracking()
        self._worker = Worker(asked, capture, tracking, every, self.detail)
        self._asking = threading.Lock()  # phrases and grounder may be assigned by two threads
        # The threads know the worker only: a stream that is dropped unclosed stops them too.
        self._finalizer = weakref.finalize(self, self._worker.stop)
        self._finalizer.atexit = False  # the worker's own also waits

    @property
    def phrases(self) -> list[str]:
        """What is looked for; assign other phrases, or one, while it runs.

        They take effect at the next grounding, results until then are for the ones before.

        Raises:
            PhraseError: on assigning phrases that cannot be used; the ones before stay.
        """
        return [phrase.text for phrase in self._worker.asked.phrases]

    @phrases.setter
    def phrases(self, phrases: str | Sequence[str]) -> None:
        with self._asking:
            grounder = self._worker.asked.grounder
            self._worker.asked = asked_of(grounder, phrases)

    @property
    def grounder(self) -> Grounds:
        """What grounds; assign another, as one of another precision, while it runs.

        It encodes the phrases now and takes effect at the next grounding.

        Raises:
            PhraseError: on assigning one that cannot read the phrases; the one before stays.
            ArgumentError: on assigning what is no grounder.
        """
        return self._worker.asked.grounder

    @grounder.setter
    def grounder(self, grounder: Grounds) -> None:
        if not isinstance(getattr(grounder, "manifest", None), Manifest):
            raise ArgumentError(f"grounder: expected sdk.Grounder, got {short(grounder)}")
        with self._asking:
            self._worker.asked = asked_of(grounder, self.phrases)

    @property
    def tracking(self) -> Tracking | None:
        """How boxes are carried between groundings; assign other settings, or None, while it runs.

        Tracks begin anew.

        Raises:
            ArgumentError: on assigning what is neither a `Tracking` nor None.
        """
        return self._worker.tracking

    @tracking.setter
    def tracking(self, tracking: Tracking | None) -> None:
        _check_tracking(tracking)
        self._worker.tracking = tracking

    @property
    def source(self) -> FrameSource | None:
        """What `open_source` opened: its size, speed and kind. None for an iterable of frames."""
        return self._worker.capture.source

    def get(self, timeout: float | None = None) -> StreamResult:
        """The next result, waited for.

        An error that ended the stream is raised once, after the last result; then StreamEnded.

        Args:
            timeout: seconds to wait at most; None = as long as it takes.

        Raises:
            queue.Empty: the result did not come in time.
            ArgumentError: the timeout is no number from 0 to threading.TIMEOUT_MAX.
            StreamEnded: there are no more results.
            SourceError: the source failed.
            StreamOverflowError: more frames waited than `backlog`.
            FrameError: a frame cannot be used.
            BackendError: the runtime failed.
            Exception: whatever an iterable of frames raised.
        """
        if timeout is not None:
            timeout = number("timeout", timeout, 0, threading.TIMEOUT_MAX)
        try:
            return _result(self._worker.results.get(timeout))
        except StopIteration:
            raise StreamEnded(
                "expected a result, but the source has ended or the stream is closed; "
                "Grounder.stream makes a new one"
            ) from None

    def __next__(self) -> StreamResult:
        """As `get`, however long it takes; iteration ends with the last result."""
        return _result(next(self._worker.results))

    def close(self) -> None:
        """Stop and wait for the threads to end.

        A thread that the source blocks is waited for up to 3 s; then it is left, which is logged.
        """
        self._worker.close()


def _result(found: Found) -> StreamResult:
    shot, results, fresh, track_ids, seconds = found
    return StreamResult(
        frame=shot.frame,
        results=results,
        fresh=fresh,
        track_ids=track_ids,
        number=shot.number,
        media_time=shot.media_time,
        timestamp=shot.timestamp,
        latency=time.perf_counter() - shot.read,
        inference=seconds,
    )


def _check_tracking(tracking: object, *names: str) -> None:
    """`names`: that may be given too."""
    known = tracking is None or isinstance(tracking, Tracking)
    if not known and not (isinstance(tracking, str) and tracking in names):
        expected = ", ".join(["sdk.Tracking", *map(repr, names)])
        raise ArgumentError(f"tracking: expected {expected} or None, got {short(tracking)}")
