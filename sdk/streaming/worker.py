"""The threads of a stream, behind `sdk.streaming.stream.Stream`."""

import atexit
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk._internal.mailbox import Mailbox
from sdk.errors import PhraseError
from sdk.inputs.phrases import EncodedPhrase
from sdk.lessons.lesson import Lesson
from sdk.protocols import Grounds
from sdk.results import Grounding
from sdk.streaming.capture import Capture, Shot
from sdk.streaming.tracking import Tracker, Tracking

DROPS_LOGGED_SECONDS = 60.0
"""From one line about frames that were left out to the next."""

logger = logging.getLogger("grounder.stream")


class Asked(NamedTuple):
    """Phrases, with what they are encoded for: the one is never used with another's."""

    grounder: Grounds
    phrases: list[EncodedPhrase]
    lessons: tuple[Lesson, ...]
    """That the phrases were read with."""


def asked_of(grounder: Grounds, phrases: str | Sequence[str]) -> Asked:
    """The phrases, encoded now. Raises as `Grounder.encode_phrases`."""
    lessons = grounder.lessons  # first: what is taught in between is noticed later
    return Asked(grounder, grounder.encode_phrases(phrases), lessons)


class _Answer(NamedTuple):
    results: list[Grounding]
    seconds: float


class Found(NamedTuple):
    """A result on its way to the consumer."""

    shot: Shot
    results: list[Grounding]
    fresh: tuple[bool, ...]
    track_ids: tuple[int, ...]
    seconds: float


class Worker:
    """The threads of a stream."""

    def __init__(
        self,
        asked: Asked,
        capture: Capture,
        tracking: Tracking | None,
        every: int,
        detail: int,
    ) -> None:
        self.asked = asked
        self.tracking = tracking
        self.capture = capture
        self.results: Mailbox[Found] = Mailbox(1 if capture.newest else 2, newest=capture.newest)
        self._every, self._detail = every, detail
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
            log_at = time.perf_counter() + DROPS_LOGGED_SECONDS
            for found in self._modes(self.capture):
                if not self.results.put(found):
                    break
                if time.perf_counter() >= log_at:
                    self._log_dropped()
                    log_at = time.perf_counter() + DROPS_LOGGED_SECONDS
            self.results.close()
        except BaseException as error:  # whatever it is, the consumer is the one to hear of it
            self.results.close(error)
        finally:
            self.capture.stop()
            self._pool.shutdown()
            self._log_dropped()
            self.capture.join()
            atexit.unregister(self.close)

    def _log_dropped(self) -> None:
        if dropped := self.capture.shots.dropped + self.results.dropped:
            logger.info("%d frames left out so far for newer ones", dropped)

    @property
    def _mode(self) -> tuple[Tracking | None, float]:
        """What tracks depend on: when it is replaced, they begin anew."""
        return self.tracking, self.asked.grounder.manifest.threshold

    def _modes(self, shots: Iterable[Shot]) -> Iterator[Found]:
        while True:
            mode = tracking, threshold = self._mode
            followed = self._follow(shots, threshold, tracking) if tracking else None
            for found in followed or self._ground_all(shots):
                yield found
                if mode != self._mode:
                    break
            else:  # the source has ended
                return

    def _ground_all(self, shots: Iterable[Shot]) -> Iterator[Found]:
        """Every k-th frame, with its own groundings."""
        for index, shot in enumerate(shots):
            if index % self._every == 0:
                results, seconds = self._ask(shot).result()
                fresh, track_ids = (True,) * len(results), (0,) * len(results)
                yield Found(shot, results, fresh, track_ids, seconds)

    def _follow(
        self, shots: Iterable[Shot], threshold: float, tracking: Tracking
    ) -> Iterator[Found]:
        """Every frame. Of a live source with the groundings there are, else with its own."""
        tracker = Tracker(threshold, tracking)
        waiting: Future[_Answer] | None = None
        last: Shot | None = None
        failure: Exception | None = None
        age, seconds = 0, 0.0
        try:
            for shot in shots:
                if not tracker.fits(shot.frame):
                    tracker, waiting, last = Tracker(threshold, tracking), None, None
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
                # A copy, of what is perhaps the last one: the consumer may draw on the frame.
                last = shot._replace(frame=shot.frame.copy()) if waiting else None
                if carried := tracker.results:  # made anew each time it is asked for
                    yield Found(shot, carried, tracker.fresh, tracker.track_ids, seconds)
        except Exception as error:
            failure = error
        if last and waiting:
            results, seconds = waiting.result()
            tracker.update(results)
            yield Found(last, tracker.results, tracker.fresh, tracker.track_ids, seconds)
        if failure:
            raise failure

    def _ask(self, shot: Shot) -> "Future[_Answer]":
        # A copy: the consumer may draw on the frame before it is grounded.
        return self._pool.submit(_ground, self.asked, shot.frame.copy(), self._detail)


def _ground(asked: Asked, frame: NDArray[np.uint8], detail: int) -> _Answer:
    started = time.perf_counter()
    phrases = asked.phrases
    if asked.grounder.lessons is not asked.lessons:  # a name was taught meanwhile, or removed
        with suppress(PhraseError):  # nothing but the lesson read the name
            phrases = asked.grounder.encode_phrases([phrase.text for phrase in phrases])
    results = asked.grounder.encode(frame, detail=detail).answer(phrases, 0)
    return _Answer(results, time.perf_counter() - started)
