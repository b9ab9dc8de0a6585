"""Worker processes on this machine: one that dies is replaced, and what it had is done again.

Each worker has one item at a time, so a death is held against the item that was under way.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
ATTEMPTS = 3
"""Workers that an item may kill before it is given up."""
_SPAWN = get_context("spawn")  # the same on every system, and safe beside threads


class Done(NamedTuple):
    """An item that a worker is done with."""

    item: Any
    result: Any
    """What the function gave; None when every worker that tried it died."""


def run_lanes(
    lanes: Sequence[Sequence[Item]], function: Callable[[Item], object], workers: int
) -> Iterator[Done]:
    """Apply `function` to all items in `workers` processes; what is done first comes first.

    Args:
        lanes: the items of a lane are done by one worker, in their order.

    Raises:
        Exception: what `function` raises.
    """
    waiting = deque(deque(lane) for lane in lanes if lane)
    running: dict[Connection, _Worker[Item]] = {}
    try:
        for _ in range(min(workers, len(waiting))):
            worker = _Worker(function, waiting.popleft())
            running[worker.pipe] = worker
        while running:
            for pipe in connection.wait(running):
                worker = running.pop(pipe)  # type: ignore[call-overload]
                done = worker.receive()
                if done:
                    yield done
                if not worker.lane and waiting:
                    worker.lane = waiting.popleft()
                if worker.lane:
                    worker.send()
                    running[worker.pipe] = worker
                else:
                    worker.kill()
    finally:
        for worker in running.values():
            worker.kill()


class _Worker(Generic[Item]):
    """A process and the items that it is to do, the first of which it has."""

    def __init__(self, function: Callable[[Item], object], lane: "deque[Item]") -> None:
        self.lane = lane
        self._function = function
        self._deaths = 0  # with the first item
        self._start()
        self.send()

    def _start(self) -> None:
        self.pipe, other = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(other, self._function), daemon=True)
        self._process.start()
        other.close()  # so that its death ends the pipe

    def send(self) -> None:
        """Give it its first item."""
        with suppress(BrokenPipeError):  # it has died; `receive` will find out
            self.pipe.send(self.lane[0])

    def receive(self) -> Done | None:
        """What it did; None where it died and another one is to try. Raises what it raised."""
        try:
            result, error = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.kill()
            self._start()
            self._deaths += 1
            if self._deaths < ATTEMPTS:
                return None
            result, error = None, None
        if error is not None:
            self.kill()
            raise error
        self._deaths = 0
        return Done(self.lane.popleft(), result)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, function: Callable[[Any], object]) -> None:
    """In the process: do items until the other end is gone."""
    # Ctrl-C reaches every process of the terminal; the one that started the workers ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            item = pipe.recv()
            answer: tuple[object, Exception | None]
            try:
                answer = function(item), None
            except Exception as error:
                answer = None, error
            pipe.send(answer)
