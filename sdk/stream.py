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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.capture import Capture, Mailbox, Shot, SourceLike
from sdk.closing import Closing
from sdk.errors import GroundingError
from sdk.phrases import as_phrases
from sdk.results import Grounding
from sdk.tracking import Tracker, Tracking

if TYPE_CHECKING:
    from sdk.grounder import Grounder

JOIN_SECONDS = 15.0
"""Longer than a dead camera is waited for; an iterable of frames may block for ever."""


@dataclass(frozen=True, slots=True)
class StreamResult:
    """A frame and where the phrases are in it."""

    frame: NDArray[np.uint8]
    """(H, W, 3) uint8 BGR; the caller's to draw on."""
    results: list[Grounding]
    """One per phrase, in the order of the phrases."""
    fresh: tuple[bool, ...]
    """Per result: set by a grounding that has just come, not carried from the frame before."""
    identities: tuple[int, ...]
    """Per result: the same number as long as it is the same object; 0 if not found so far."""
    number: int
    """Of the frame, from 0; frames that were passed over count."""
    timestamp: float
    """When the frame was read: seconds since 1970."""
    latency: float
    """Seconds from the frame's reading to the consumer's getting the result."""


class _Found(NamedTuple):
    shot: Shot
    results: list[Grounding]
    fresh: tuple[bool, ...]
    identities: tuple[int, ...]


class Stream(Closing, Iterator[StreamResult]):
    """An iterator of `StreamResult`, to be closed, best by a `with` block.

    >>> with grounder.stream(0, ["the cup", "the red pen"]) as stream:
    ...     for result in stream:
    ...         show(draw(result.frame, result.results))
    """

    def __init__(
        self,
        grounder: "Grounder",
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
        if tracking is not None and not isinstance(tracking, Tracking):
            raise GroundingError(f"tracking: expected sdk.Tracking(...) or None, got {tracking!r}")
        texts = _checked(grounder, phrases)
        self._worker = _Worker(
            grounder, Capture(source, policy, reconnect_seconds), texts, tracking, every
        )
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

    def __next__(self) -> StreamResult:
        """The next result.

        Raises what ended the stream, once: SourceError, FrameError, BackendError, or whatever an
        iterable of frames raised.
        """
        shot, results, fresh, identities = next(self._worker.results)
        latency = time.perf_counter() - shot.read
        return StreamResult(
            shot.frame, results, fresh, identities, shot.number, shot.timestamp, latency
        )

    def close(self) -> None:
        """Stop and wait for the threads to end; a thread of a dead camera up to 15 s."""
        self._worker.close()


class _Worker:
    """The threads of a stream."""

    def __init__(
        self,
        grounder: "Grounder",
        capture: Capture,
        phrases: tuple[str, ...],
        tracking: Tracking | None,
        every: int,
    ) -> None:
        self.grounder = grounder
        self.phrases = phrases
        self.results: Mailbox[_Found] = Mailbox(1 if capture.newest else 2, newest=capture.newest)
        self._capture = capture
        self._every = every
        self._tracker = tracking and Tracker(grounder.manifest.threshold, tracking)
        self._pool = ThreadPoolExecutor(1, "grounder inference")
        self._thread = threading.Thread(target=self._run, name="grounder follow", daemon=True)
        self._thread.start()
        # A thread that is inside OpenCV when Python exits aborts the process.
        atexit.register(self.close)

    def stop(self) -> None:
        """Have the threads end; does not wait for them."""
        self._capture.stop()
        self.results.stop()

    def close(self) -> None:
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        shots, tracker = self._capture.shots, self._tracker
        try:
            for found in self._follow(shots, tracker) if tracker else self._ground_all(shots):
                if not self.results.put(found):
                    break
            self.results.close()
        except Exception as error:  # whatever it is, the consumer is the one to hear of it
            self.results.close(error)
        finally:
            self._capture.stop()
            self._pool.shutdown()
            self._capture.thread.join(JOIN_SECONDS)
            atexit.unregister(self.close)

    def _ground_all(self, shots: Iterable[Shot]) -> Iterator[_Found]:
        """Every k-th frame, with its own groundings."""
        for index, shot in enumerate(shots):
            if index % self._every == 0:
                results = self._ask(shot).result()
                yield _Found(shot, results, (True,) * len(results), (0,) * len(results))

    def _follow(self, shots: Iterable[Shot], tracker: Tracker) -> Iterator[_Found]:
        """Every frame. Of a live source with the groundings there are, else with its own."""
        waiting: Future[list[Grounding]] | None = None
        age = 0
        for shot in shots:
            tracker.advance(shot.frame)
            age += 1
            if waiting and waiting.done():
                tracker.update(waiting.result())
                waiting = None
            if not waiting and (age >= self._every or not tracker.results):
                tracker.mark()
                waiting, age = self._ask(shot), 0
            if waiting and not self._capture.newest:
                tracker.update(waiting.result())
                waiting = None
            if tracker.results:
                yield _Found(shot, tracker.results, tracker.fresh, tracker.identities)

    def _ask(self, shot: Shot) -> "Future[list[Grounding]]":
        # A copy: the consumer may draw on the frame before it is grounded.
        frame, phrases = shot.frame.copy(), self.phrases
        return self._pool.submit(lambda: self.grounder.ground(frame, phrases))


def _checked(grounder: "Grounder", phrases: str | Sequence[str]) -> tuple[str, ...]:
    """Checked and encoded now: a phrase that cannot be understood should not end the stream."""
    texts = tuple(as_phrases(phrases))
    grounder._encode_phrases(texts)
    return texts
