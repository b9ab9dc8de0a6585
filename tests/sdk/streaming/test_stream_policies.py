"""The newest frame, or all of them: which frames a consumer sees that is slower than its source."""

import logging
import re
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import Grounder, SourceError, StreamOverflowError
from sdk.backends.session import Session
from sdk.inputs.sources import open_source
from tests.cameras import address, network_camera, numbered
from tests.streams import PHRASES, Waits, number_of, streaming_threads
from tests.waiting import WAIT

pytest_plugins = ["tests.streams"]
pytestmark = pytest.mark.usefixtures("no_threads_left")


@pytest.mark.parametrize("tracked", [True, False])
def test_the_newest_frame_wins_with_a_slow_consumer(grounder: Grounder, tracked: bool) -> None:
    """While the consumer has the first result, everything else is read."""
    has_one, all_read = threading.Event(), threading.Event()

    def camera() -> Iterator[NDArray[np.uint8]]:
        yield numbered(0)
        assert has_one.wait(WAIT)
        for number in range(1, 100):
            yield numbered(number)
        all_read.set()

    settings: dict[str, Any] = {} if tracked else {"tracking": None}
    # The first frame of a tracked stream has no grounding yet: give it another one to come with.
    with grounder.stream(looped_until(has_one, camera()), "cat", policy="newest", **settings) as s:
        first = next(s)
        has_one.set()
        assert all_read.wait(WAIT)
        rest = list(s)
    numbers = [result.number for result in rest]
    assert numbers == sorted(numbers) and numbers[0] > first.number
    # One in each of the two queues, one on the thread between them, the last with its grounding.
    assert len(rest) <= 4
    assert number_of(rest[-1].frame) == 99


def looped_until(
    event: threading.Event, frames: Iterator[NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    """The first frame again and again until the event, then the others."""
    first = next(frames)
    yield first
    while not event.is_set():
        yield first
        event.wait(0.005)  # a camera's pace
    yield from frames


def test_newest_of_a_file_plays_it_at_its_speed(grounder: Grounder, video: Path) -> None:
    with grounder.stream(video, "cat", policy="newest") as stream:
        got = list(stream)
    numbers = [result.number for result in got]
    assert numbers[:-1] == sorted(set(numbers[:-1])) and numbers[-1] == 19
    # Were it not paced, 20 frames would be read within a few milliseconds.
    assert got[-1].timestamp - got[0].timestamp >= 0.5 * (numbers[-1] - numbers[0]) / 200


def test_frames_do_not_wait_for_a_grounding(grounder: Grounder) -> None:
    vision = Waits(grounder.sessions["vision"])
    sessions = {**grounder.sessions, "vision": vision}
    slow = Grounder(grounder.manifest, grounder._reader, sessions, "fp32")
    frames = (numbered(n % 200) for n in count())
    with slow.stream(frames, PHRASES, policy="newest") as stream:
        assert next(stream).results
        carried = [next(stream) for _ in range(50)]
        # The second grounding hangs: at most the first one's result is fresh.
        assert sum(any(result.fresh) for result in carried) <= 1
        assert all([one.text for one in result.results] == PHRASES for result in carried)
        vision.may_go_on.set()
        assert any(all(result.fresh) for result in stream)


def with_vision(grounder: Grounder, vision: Session) -> Grounder:
    sessions = {**grounder.sessions, "vision": vision}
    return Grounder(grounder.manifest, grounder._reader, sessions, "fp32")


@pytest.mark.parametrize("tracked", [True, False])
def test_the_newest_of_one_frame_is_that_frame(grounder: Grounder, tracked: bool) -> None:
    settings: dict[str, Any] = {} if tracked else {"tracking": None}
    with grounder.stream([numbered(7)], PHRASES, policy="newest", **settings) as stream:
        (seen,) = list(stream)
    assert (seen.number, seen.fresh) == (0, (True,) * 3)
    assert [r.box for r in seen.results] == [r.box for r in grounder.ground(numbered(7), PHRASES)]


def test_the_last_grounding_comes_with_the_last_frame(grounder: Grounder) -> None:
    vision = Waits(grounder.sessions["vision"])
    has_one = threading.Event()

    def camera() -> Iterator[NDArray[np.uint8]]:
        while not has_one.wait(0.005):
            yield numbered(0)
        yield from map(numbered, range(1, 4))

    with with_vision(grounder, vision).stream(camera(), "cat", policy="newest") as stream:
        next(stream)
        has_one.set()
        for seen in stream:
            vision_was_free = vision.may_go_on.is_set()
            if number_of(seen.frame) == 3:
                seen.frame[:] = 0
                vision.may_go_on.set()
            last = seen
    assert vision_was_free
    assert last.fresh == (True,)


def test_all_frames_of_a_live_source(grounder: Grounder) -> None:
    got = []
    with network_camera(200) as server:
        settings: dict[str, Any] = {"policy": "all", "backlog": 200, "reconnect_seconds": 0}
        with (
            grounder.stream(address(server), "cat", **settings) as stream,
            pytest.raises(SourceError, match="stopped sending frames"),
        ):
            for seen in stream:
                got.append((seen.number, round(number_of(seen.frame) / 10)))
    assert got == [(number, number % 25) for number in range(200)]


def test_all_frames_of_a_live_source_given_as_a_source(grounder: Grounder) -> None:
    numbers = []
    with (
        network_camera(200) as server,
        open_source(address(server)) as source,
        grounder.stream(source, "cat", policy="all", backlog=200) as stream,
        pytest.raises(SourceError, match="stopped sending frames"),
    ):
        for seen in stream:
            numbers.append(seen.number)
    assert numbers == list(range(200))


def test_a_live_source_that_is_too_fast_for_a_promise_of_all(grounder: Grounder) -> None:
    vision = Waits(grounder.sessions["vision"])
    numbers = []
    with network_camera(200) as server:
        settings: dict[str, Any] = {"policy": "all", "backlog": 5}
        told = r'at most 5 frames of stream http.*a\.mjpg to wait, got one more.*policy="newest"'
        with (
            with_vision(grounder, vision).stream(address(server), "cat", **settings) as stream,
            pytest.raises(StreamOverflowError, match=told),
        ):
            for thread in streaming_threads():  # where it has not ended already
                if thread.name == "grounder capture":
                    thread.join(WAIT)
            vision.may_go_on.set()
            for seen in stream:
                numbers.append(seen.number)
    # Before it is said, what waited comes without a gap: of the first and one on the way, five.
    assert numbers == list(range(len(numbers))) and 5 <= len(numbers) <= 7


def test_frames_left_out_are_counted(grounder: Grounder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "grounder")
    has_one, all_read = threading.Event(), threading.Event()

    def camera() -> Iterator[NDArray[np.uint8]]:
        yield numbered(0)
        assert has_one.wait(WAIT)
        yield from map(numbered, range(1, 100))
        all_read.set()

    with grounder.stream(camera(), "cat", policy="newest", tracking=None) as stream:
        next(stream)
        has_one.set()
        assert all_read.wait(WAIT)
        delivered = 1 + len(list(stream))
    assert re.findall(r"(\d+) frames left out", caplog.text) == [str(100 - delivered)]
