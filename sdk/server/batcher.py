"""One worker thread that grounds for everybody, and a few that decode for it.

Requests wait in a bounded queue. The smallest of the pictures that wait is decoded first. The
worker takes the oldest request whose picture is ready and with it all that wait for the same frame
and region: they share a vision pass and one fusion call. The last frames stay encoded.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.contract import PHRASES_PER_CALL
from sdk.errors import PhraseError
from sdk.frame_view import FrameView
from sdk.grounder import Grounder
from sdk.inputs.frames import Region, crop
from sdk.results import Grounding
from sdk.server.errors import BusyError
from sdk.server.images import decode, pixels_of
from sdk.server.limits import Limits
from sdk.server.metrics import Metrics


@dataclass(frozen=True)
class Question:
    """What one request asks, as `Grounder.ground` does."""

    image: bytes
    """An encoded picture."""
    phrases: Sequence[str]
    alternatives: int = 0
    region: Region | None = None


@dataclass(frozen=True)
class Answer:
    """What became of one request."""

    size_wh: tuple[int, int]
    """Of the whole picture."""
    results: list[Grounding]
    wait_seconds: float
    encode_seconds: float
    """Next to nothing where the frame was kept from before."""
    fuse_seconds: float
    batch: int
    """Requests that were answered together."""


_Sight: TypeAlias = tuple[bytes, Region | None]
"""What is looked at: hash of the picture's bytes, region. Equal ones share a vision pass."""
_Frame: TypeAlias = Future[NDArray[np.uint8]]


class _Encoded(NamedTuple):
    view: FrameView
    size_wh: tuple[int, int]  # of the whole picture
    corner: tuple[int, int]  # (x, y) of the region in it


@dataclass(frozen=True, eq=False)
class _Job:
    question: Question
    sight: _Sight
    pixels: int
    future: "Future[Answer]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.perf_counter)


class Batcher:
    """Grounds in threads of its own, from `start` to `close`."""

    def __init__(self, grounder: Grounder, limits: Limits, metrics: Metrics) -> None:
        self._grounder, self._limits, self._metrics = grounder, limits, metrics
        self._encoded: OrderedDict[_Sight, _Encoded] = OrderedDict()  # only the worker changes it
        self._frames: dict[bytes, _Frame] = {}  # being decoded, or decoded and not yet taken
        self._jobs: list[_Job] = []  # replaced, never changed: may be read without the lock
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="grounder-worker", daemon=True)
        self._decoders = ThreadPoolExecutor(limits.decoders, "grounder-decoder")
        metrics.waiting.set_function(lambda: self.waiting)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Finish what is being grounded, refuse what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        self._decoders.shutdown(cancel_futures=True)
        for job in self._jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(_stopping())

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return sum(not job.future.cancelled() for job in self._jobs)

    def check_room(self) -> None:
        """Check that one more request may wait.

        Raises:
            BusyError: the queue is full.
        """
        if self.waiting >= self._limits.queue:
            raise BusyError(
                f"expected at most {self._limits.queue} requests to wait, got one more; try again "
                "after the seconds that Retry-After says"
            )

    def submit(self, question: Question) -> "Future[Answer]":
        """Queue a request with checked phrases. Cancel the future to drop it.

        Returns:
            A future, which may raise FrameError, PhraseError, BackendError or BusyError.

        Raises:
            FrameError: by its header the picture cannot be used.
            TooLargeError: by its header the picture is too large.
            BusyError: the queue is full or the server is stopping.
        """
        pixels = pixels_of(question.image, self._limits)
        digest = hashlib.sha256(question.image).digest()
        job = _Job(question, (digest, question.region), pixels)
        with self._changed:
            if self._closed:
                raise _stopping()
            self.check_room()
            self._jobs = [*self._jobs, job]
            self._decode_more()
            self._changed.notify()
        return job.future

    def _decode_more(self) -> None:
        """Forget what nobody waits for, decode what is waited for, the smallest picture first."""
        self._jobs = [job for job in self._jobs if not job.future.cancelled()]
        wanted = {job.sight[0] for job in self._jobs}
        kept = self._frames.items()
        self._frames = {key: frame for key, frame in kept if key in wanted or not frame.done()}
        for job in sorted(self._jobs, key=lambda job: job.pixels):
            if len(self._frames) >= self._limits.decoders:
                return
            if job.sight[0] not in self._frames and job.sight not in self._encoded:
                frame = self._decoders.submit(decode, job.question.image)
                self._frames[job.sight[0]] = frame
                frame.add_done_callback(self._wake)

    def _wake(self, _: _Frame) -> None:
        with self._changed:
            self._changed.notify()

    def _next(self) -> _Job | None:
        """The oldest whose picture is encoded or decoded."""
        self._decode_more()
        for job in self._jobs:
            frame = self._frames.get(job.sight[0])
            if job.sight in self._encoded or (frame and frame.done()):
                return job
        return None

    def _work(self) -> None:
        for batch, frame in self._batches():
            self._answer(batch, frame)

    def _batches(self) -> Iterator[tuple[list[_Job], _Frame | None]]:
        """Those that wait for one sight, the oldest among them; at most one fusion call's phrases.

        With the sight's picture where it is not encoded. Ends when the batcher is closed.
        """
        while True:
            with self._changed:
                first = self._changed.wait_for(lambda: self._closed or self._next())
                if self._closed or not isinstance(first, _Job):
                    return
                batch, phrases = [first], len(first.question.phrases)
                for job in self._jobs:
                    more = len(job.question.phrases)
                    same = job is not first and job.sight == first.sight
                    if same and phrases + more <= PHRASES_PER_CALL:
                        batch.append(job)
                        phrases += more
                self._jobs = [job for job in self._jobs if job not in batch]
                encoded = first.sight in self._encoded
                frame = None if encoded else self._frames.pop(first.sight[0])
            wanted = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if wanted:
                yield wanted, frame

    def _answer(self, batch: list[_Job], frame: _Frame | None) -> None:
        started = time.perf_counter()
        try:
            encoded = self._encode(batch[0], frame)
        except Exception as error:  # whatever it is: the worker lives on, the requests hear of it
            for job in batch:
                job.future.set_exception(error)
            return
        self._fuse(batch, encoded, started, time.perf_counter() - started)

    def _encode(self, job: _Job, decoded: _Frame | None) -> _Encoded:
        if decoded:
            frame, corner = decoded.result(), (0, 0)
            height, width = frame.shape[:2]
            if job.question.region is not None:
                frame, corner = crop(frame, job.question.region)
            encoded = _Encoded(self._grounder.encode(frame), (width, height), corner)
            self._metrics.encoded.inc()
            self._encoded[job.sight] = encoded
            if len(self._encoded) > self._limits.frames:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(job.sight)
        return self._encoded[job.sight]

    def _fuse(
        self, batch: list[_Job], encoded: _Encoded, started: float, encode_seconds: float
    ) -> None:
        asked = [job.question for job in batch]
        phrases = list(dict.fromkeys(phrase for one in asked for phrase in one.phrases))
        most = max(one.alternatives for one in asked)
        began = time.perf_counter()
        try:
            found = encoded.view.ground(phrases, alternatives=most)
            moved = [result.moved(*encoded.corner) for result in found]
            results = dict(zip(phrases, moved, strict=True))
        except Exception as error:
            if isinstance(error, PhraseError) and len(batch) > 1:  # one's bad phrase, not all's
                for job in batch:
                    self._fuse([job], encoded, started, encode_seconds)
                return
            for job in batch:
                job.future.set_exception(error)
            return
        fuse_seconds = time.perf_counter() - began
        self._metrics.phrases.inc(len(phrases))
        self._metrics.batch.observe(len(batch))
        for job in batch:
            own = (results[phrase] for phrase in job.question.phrases)
            answer = Answer(
                size_wh=encoded.size_wh,
                results=[_cut(result, job.question.alternatives) for result in own],
                wait_seconds=started - job.submitted,
                encode_seconds=encode_seconds,
                fuse_seconds=fuse_seconds,
                batch=len(batch),
            )
            job.future.set_result(answer)


def _cut(result: Grounding, alternatives: int) -> Grounding:
    """The first few are those that would have been found had no more been asked for."""
    return replace(result, alternatives=result.alternatives[:alternatives])


def _stopping() -> BusyError:
    return BusyError("the server is stopping; try again when it is back")
