"""Groundings of a camera, a video or any frames as they come. Made by `Grounder.stream`.

    capture ── frames ──> follow ── results ──> consumer
                          │    ▲
                          ▼    │ late, moved to the present
                          ground

Each on its own thread, with bounded queues between them. For live sources a newer frame takes the
place of one that nobody has asked for; for the others everyone waits for the slowest.
"""

import atexit
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sdk._internal.closing import Closing
from sdk._internal.mailbox import Mailbox
from sdk.bundle.manifest import Manifest
from sdk.errors import GroundingError
from sdk.inputs.phrases import EncodedPhrase
from sdk.inputs.sources import FrameSource
from sdk.results import Grounding
from sdk.streaming.capture import Capture, Shot, SourceLike
from sdk.streaming.tracking import DEFAULT_TRACKING, Tracker, Tracking

JOIN_SECONDS = 15.0
"""Longer than a dead camera is waited for; an iterable of frames may block for ever."""


class Grounds(Protocol):
    """What a stream needs of a `Grounder`."""

    @property
    def manifest(self) -> Manifest: ...

    def encode_phrases(self, text: str | Sequence[str]) -> list[EncodedPhrase]: ...

    def ground(self, frame: NDArray[np.uint8], text: tuple[str, ...]) -> list[Grounding]: ...


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
    """Of the frame, from 0; frames that were passed over count."""
    timestamp: float
    """When the frame was read: seconds since 1970."""
    latency: float
    """Seconds from the frame's reading to the consumer's getting the result."""
    inference: float
    """Seconds that the last grounding before the results took, without waiting for its turn."""


class _Answer(NamedTuple):
    results: list[Grounding]
    seconds: float


class _Found(NamedTuple):
    shot: Shot
    results: list[Grounding]
    fresh: tuple[bool, ...]
    track_ids: tuple[int, ...]
    seconds: float


class Stream(Closing, Iterator[StreamResult]):
    """An iterator of `StreamResult`, to be closed, best by a `with` block.

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
        tracking: Tracking | None,
        every: int,
        policy: str,
        reconnect_seconds: float,
    ) -> None:
        """See `Grounder.stream`."""
        if every < 1:
            raise GroundingError(f"every: expected 1 or more frames, got {every}")
        _check_tracking(tracking)
        texts = _checked(grounder, phrases)
        capture = Capture(source, policy, reconnect_seconds)
        if tracking is DEFAULT_TRACKING and capture.source and capture.source.stills:
            tracking = None  # nobody asked for it, and between pictures there is nothing to follow
        self._worker = _Worker(grounder, capture, texts, tracking, every)
        # The threads know the worker only: a stream that is dropped unclosed stops them too.
        self._finalizer = weakref.finalize(self, self._worker.stop)
        self._finalizer.atexit = False  # the worker's own also waits

    @property
    def phrases(self) -> list[str]:
        """What is looked for; assign other phrases, or one, while it runs.

        They take effect at the next grounding, results until then are for the ones before.
        Assigning raises PhraseError and leaves the phrases as they are.
        """
        return list(self._worker.phrases)

    @phrases.setter
    def phrases(self, phrases: str | Sequence[str]) -> None:
        self._worker.phrases = _checked(self._worker.grounder, phrases)

    @property
    def grounder(self) -> Grounds:
        """What grounds; assign another, as one of another precision, while it runs.

        It takes effect at the next grounding. Assigning raises PhraseError where it cannot read the
        phrases, and leaves the one before.
        """
        return self._worker.grounder

    @grounder.setter
    def grounder(self, grounder: Grounds) -> None:
        _checked(grounder, self._worker.phrases)
        self._worker.grounder = grounder

    @property
    def tracking(self) -> Tracking | None:
        """How boxes are carried between groundings; assign other settings, or None, while it runs.

        Tracks begin anew. Assigning raises GroundingError for what are no settings.
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
        """The next result, waited for up to `timeout` seconds; None = as long as it takes.

        Raises queue.Empty when it does not come in time, StopIteration after the last one, and
        what ended the stream, once: SourceError, FrameError, BackendError, or whatever an iterable
        of frames raised.
        """
        shot, results, fresh, track_ids, seconds = self._worker.results.get(timeout)
        latency = time.perf_counter() - shot.read
        return StreamResult(
            shot.frame, results, fresh, track_ids, shot.number, shot.timestamp, latency, seconds
        )

    def __next__(self) -> StreamResult:
        """As `get`, however long it takes."""
        return self.get()

    def close(self) -> None:
        """Stop and wait for the threads to end; a thread of a dead camera up to 15 s."""
        self._worker.close()


class _Worker:
    """The threads of a stream."""

    def __init__(
        self,
        grounder: Grounds,
        capture: Capture,
        phrases: tuple[str, ...],
        tracking: Tracking | None,
        every: int,
    ) -> None:
        self.grounder = grounder
        self.phrases = phrases
        self.tracking = tracking
        self.capture = capture
        self.results: Mailbox[_Found] = Mailbox(1 if capture.newest else 2, newest=capture.newest)
        self._every = every
        self._pool = ThreadPoolExecutor(1, "grounder inference")
        self._thread = threading.Thread(target=self._run, name="grounder follow", daemon=True)
        self._thread.start()
        # A thread that is inside OpenCV when Python exits aborts the process.
        atexit.register(self.close)

    def stop(self) -> None:
        """Have the threads end; does not wait for them."""
        self.capture.stop()
        self.results.stop()

    def close(self) -> None:
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            for found in self._modes(self.capture.shots):
                if not self.results.put(found):
                    break
            self.results.close()
        except Exception as error:  # whatever it is, the consumer is the one to hear of it
            self.results.close(error)
        finally:
            self.capture.stop()
            self._pool.shutdown()
            self.capture.thread.join(JOIN_SECONDS)
            atexit.unregister(self.close)

    @property
    def _mode(self) -> tuple[Tracking | None, float]:
        """What tracks depend on: when it is replaced, they begin anew."""
        return self.tracking, self.grounder.manifest.threshold

    def _modes(self, shots: Iterable[Shot]) -> Iterator[_Found]:
        while True:
            mode = tracking, threshold = self._mode
            tracker = tracking and Tracker(threshold, tracking)
            for found in self._follow(shots, tracker) if tracker else self._ground_all(shots):
                yield found
                if mode != self._mode:
                    break
            else:  # the source has ended
                return

    def _ground_all(self, shots: Iterable[Shot]) -> Iterator[_Found]:
        """Every k-th frame, with its own groundings."""
        for index, shot in enumerate(shots):
            if index % self._every == 0:
                results, seconds = self._ask(shot).result()
                fresh, track_ids = (True,) * len(results), (0,) * len(results)
                yield _Found(shot, results, fresh, track_ids, seconds)

    def _follow(self, shots: Iterable[Shot], tracker: Tracker) -> Iterator[_Found]:
        """Every frame. Of a live source with the groundings there are, else with its own."""
        waiting: Future[_Answer] | None = None
        age, seconds = 0, 0.0
        for shot in shots:
            tracker.advance(shot.frame)
            age += 1
            if waiting and waiting.done():
                results, seconds = waiting.result()
                tracker.update(results)
                waiting = None
            if not waiting and (age >= self._every or not tracker.results):
                tracker.mark()
                waiting, age = self._ask(shot), 0
            if waiting and not self.capture.newest:
                results, seconds = waiting.result()
                tracker.update(results)
                waiting = None
            if carried := tracker.results:  # made anew each time it is asked for
                yield _Found(shot, carried, tracker.fresh, tracker.track_ids, seconds)

    def _ask(self, shot: Shot) -> "Future[_Answer]":
        # A copy: the consumer may draw on the frame before it is grounded.
        return self._pool.submit(_ground, self.grounder, shot.frame.copy(), self.phrases)


def _ground(grounder: Grounds, frame: NDArray[np.uint8], phrases: tuple[str, ...]) -> _Answer:
    started = time.perf_counter()
    results = grounder.ground(frame, phrases)
    return _Answer(results, time.perf_counter() - started)


def _checked(grounder: Grounds, phrases: str | Sequence[str]) -> tuple[str, ...]:
    """Checked and encoded now: a phrase that cannot be understood should not end the stream."""
    return tuple(phrase.text for phrase in grounder.encode_phrases(phrases))


def _check_tracking(tracking: object) -> None:
    if tracking is not None and not isinstance(tracking, Tracking):
        raise GroundingError(f"tracking: expected sdk.Tracking(...) or None, got {tracking!r}")
