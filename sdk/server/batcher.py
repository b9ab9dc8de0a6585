"""One worker thread that grounds for everybody.

Requests wait in a bounded queue. The worker takes the oldest and with it all that wait for the same
frame: they share its vision pass and one fusion call. The last frames stay encoded.
"""

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from sdk.contract import PHRASES_PER_CALL
from sdk.errors import PhraseError
from sdk.grounder import FrameView, Grounder
from sdk.results import Grounding
from sdk.server.errors import BusyError
from sdk.server.images import decode
from sdk.server.limits import Limits
from sdk.server.metrics import Metrics


@dataclass(frozen=True)
class Answer:
    """What became of one request."""

    size_wh: tuple[int, int]
    results: list[Grounding]
    wait_seconds: float
    encode_seconds: float
    """Next to nothing where the frame was kept from before."""
    fuse_seconds: float
    batch: int
    """Requests that were answered together."""


@dataclass(frozen=True, eq=False)
class _Job:
    digest: bytes
    image: bytes
    phrases: Sequence[str]
    future: "Future[Answer]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.perf_counter)


class Batcher:
    """Grounds in a thread of its own, from `start` to `close`."""

    def __init__(self, grounder: Grounder, limits: Limits, metrics: Metrics) -> None:
        self._grounder, self._limits, self._metrics = grounder, limits, metrics
        self._views: OrderedDict[bytes, FrameView] = OrderedDict()  # the worker's alone
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="grounder-worker", daemon=True)
        metrics.watch_queue(lambda: self.waiting)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Finish what is being grounded, refuse what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        for job in self._jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(_stopping())

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._jobs)

    def check_room(self) -> None:
        """Raises BusyError when the queue is full."""
        if self.waiting >= self._limits.queue:
            raise BusyError(
                f"expected at most {self._limits.queue} requests to wait, got one more; try again "
                "after the seconds that Retry-After says"
            )

    def submit(self, image: bytes, phrases: Sequence[str]) -> "Future[Answer]":
        """Queue a request: an encoded picture and checked phrases. Cancel the future to drop it.

        The future raises FrameError, TooLargeError, PhraseError, BackendError or BusyError. Raises
        BusyError itself when the queue is full or the server is stopping.
        """
        job = _Job(hashlib.sha256(image).digest(), image, phrases)
        with self._changed:
            if self._closed:
                raise _stopping()
            self.check_room()
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def _work(self) -> None:
        for batch in self._batches():
            self._answer(batch)

    def _batches(self) -> Iterator[list[_Job]]:
        """Those that wait for one frame, the oldest among them; at most one fusion call's phrases.

        Ends when the batcher is closed.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                batch, others = [self._jobs.popleft()], deque[_Job]()
                phrases = len(batch[0].phrases)
                for job in self._jobs:
                    fits = phrases + len(job.phrases) <= PHRASES_PER_CALL
                    if job.digest == batch[0].digest and fits:
                        batch.append(job)
                        phrases += len(job.phrases)
                    else:
                        others.append(job)
                self._jobs = others
            wanted = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if wanted:
                yield wanted

    def _answer(self, batch: list[_Job]) -> None:
        started = time.perf_counter()
        try:
            view = self._view(batch[0])
        except Exception as error:  # whatever it is: the worker lives on, the requests hear of it
            for job in batch:
                job.future.set_exception(error)
            return
        self._fuse(batch, view, started, time.perf_counter())

    def _view(self, job: _Job) -> FrameView:
        view = self._views.get(job.digest)
        if view is None:
            view = self._grounder.encode(decode(job.image, self._limits.pixels))
            self._metrics.encoded.inc()
            self._views[job.digest] = view
            if len(self._views) > self._limits.frames:
                self._views.popitem(last=False)
        self._views.move_to_end(job.digest)
        return view

    def _fuse(self, batch: list[_Job], view: FrameView, started: float, encoded: float) -> None:
        phrases = list(dict.fromkeys(phrase for job in batch for phrase in job.phrases))
        began = time.perf_counter()
        try:
            results = dict(zip(phrases, view.ground(phrases), strict=True))
        except Exception as error:
            if isinstance(error, PhraseError) and len(batch) > 1:  # one's bad phrase, not all's
                for job in batch:
                    self._fuse([job], view, started, encoded)
                return
            for job in batch:
                job.future.set_exception(error)
            return
        fuse_seconds = time.perf_counter() - began
        self._metrics.phrases.inc(len(phrases))
        self._metrics.batch.observe(len(batch))
        for job in batch:
            answer = Answer(
                size_wh=view.size_wh,
                results=[results[phrase] for phrase in job.phrases],
                wait_seconds=started - job.submitted,
                encode_seconds=encoded - started,
                fuse_seconds=fuse_seconds,
                batch=len(batch),
            )
            job.future.set_result(answer)


def _stopping() -> BusyError:
    return BusyError("the server is stopping; try again when it is back")
