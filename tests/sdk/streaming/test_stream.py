"""Streams: order, bounded queues, errors and a clean end, on the real threads and a real bundle."""

import gc
import http.server
import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count, islice, pairwise
from pathlib import Path
from queue import Empty
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import (
    BackendError,
    FrameError,
    Grounder,
    GroundingError,
    PhraseError,
    SourceError,
    StreamEnded,
)
from sdk.bundle.manifest import Manifest, sha256_file
from sdk.streaming.stream import StreamResult
from sdk.streaming.tracking import DEFAULT_TRACKING, Tracking
from tests.paths import ROOT
from tests.streams import (
    PHRASES,
    WAIT,
    FailsLater,
    Waits,
    address,
    network_camera,
    number_of,
    numbered,
    streaming_threads,
    write_video,
)

pytest_plugins = ["tests.streams"]
pytestmark = pytest.mark.usefixtures("no_threads_left")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """20 frames at 200 per second; the n-th has the grey 10 n."""
    return write_video(tmp_path / "video.avi", 20)


@pytest.mark.parametrize("every", [1, 3])
def test_a_file_gives_every_frame_in_order(grounder: Grounder, video: Path, every: int) -> None:
    with grounder.stream(video, PHRASES, every=every) as stream:
        got = list(stream)
    assert [result.number for result in got] == list(range(20))
    assert [round(number_of(result.frame) / 10) for result in got] == list(range(20))
    assert all([one.text for one in result.results] == PHRASES for result in got)
    for result in got:
        if result.number % every:
            assert result.fresh == (False,) * 3
    assert got[0].fresh == (True,) * 3
    assert all(result.latency > 0 for result in got)
    times = [result.timestamp for result in got]
    assert times == sorted(times)


def test_a_file_gives_the_same_results_each_time(grounder: Grounder, video: Path) -> None:
    runs = []
    for _ in range(2):
        with grounder.stream(video, PHRASES, every=2) as stream:
            runs.append([(r.results, r.fresh, r.track_ids) for r in stream])
    assert runs[0] == runs[1]


def test_without_tracking_results_are_the_groundings(grounder: Grounder, video: Path) -> None:
    with grounder.stream(video, PHRASES, tracking=None, every=2) as stream:
        got = list(stream)
    assert [result.number for result in got] == list(range(0, 20, 2))
    for result in got:
        assert result.results == grounder.ground(result.frame, PHRASES)
        assert result.fresh == (True,) * 3


def test_a_list_of_frames_paths_and_one_phrase(grounder: Grounder, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "7.png"), numbered(7))
    with grounder.stream([numbered(5), str(tmp_path / "7.png")], "cat") as stream:
        assert stream.phrases == ["cat"]
        assert [number_of(result.frame) for result in stream] == [5, 7]


def test_a_buffer_that_is_used_again(grounder: Grounder) -> None:
    def frames() -> Iterator[NDArray[np.uint8]]:
        buffer = numbered(0)
        for number in range(10):
            buffer[:] = number
            yield buffer

    with grounder.stream(frames(), "cat") as stream:
        assert [number_of(result.frame) for result in stream] == list(range(10))


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


def test_phrases_replaced_while_it_runs(grounder: Grounder) -> None:
    with grounder.stream((numbered(n % 200) for n in count()), ["cat"], every=4) as stream:
        assert [one.text for one in next(stream).results] == ["cat"]
        stream.phrases = ["the dog", "cat"]
        assert stream.phrases == ["the dog", "cat"]
        texts = []
        for result in stream:
            texts.append([one.text for one in result.results])
            assert len(result.fresh) == len(result.track_ids) == len(result.results)
            if texts[-1] == ["the dog", "cat"]:
                break
            assert texts[-1] == ["cat"]
        assert result.number % 4 == 0, "with a grounding"
        with pytest.raises(PhraseError, match="expected words"):
            stream.phrases = ["cat", " "]
        stream.phrases = "the cat"  # type: ignore[assignment]
        assert stream.phrases == ["the cat"]


def test_a_phrase_of_unknown_words_is_refused_and_the_stream_goes_on(grounder: Grounder) -> None:
    with grounder.stream((numbered(n % 200) for n in count()), "cat") as stream:
        next(stream)
        with pytest.raises(PhraseError):
            stream.phrases = ["日本"]
        assert next(stream).results[0].text == "cat"


def test_a_grounder_replaced_while_it_runs(grounder: Grounder, tiny_bundle: Path) -> None:
    other = Grounder.load(tiny_bundle, device="cpu", precision="int8", threads=1)
    frames = (numbered(n % 200) for n in count())
    with grounder.stream(frames, PHRASES, tracking=None) as stream:
        seen = next(stream)
        assert seen.results == grounder.ground(seen.frame, PHRASES)
        assert stream.grounder is grounder
        stream.grounder = other
        assert stream.grounder is other
        for seen in stream:
            if seen.results == other.ground(seen.frame, PHRASES):
                break
            assert seen.results == grounder.ground(seen.frame, PHRASES)
        seen = next(stream)
        assert seen.results == other.ground(seen.frame, PHRASES)


def test_a_grounder_with_another_threshold_begins_new_tracks(grounder: Grounder) -> None:
    sure = replace(grounder.manifest, threshold=0.0)
    frames = (numbered(n % 200) for n in count())
    every = Grounder(sure, grounder._tokenizer, grounder.sessions, "fp32")
    none = Grounder(replace(sure, threshold=1.0), grounder._tokenizer, grounder.sessions, "fp32")
    with none.stream(frames, PHRASES) as stream:
        assert not any(result.found for result in next(stream).results)
        stream.grounder = every
        assert any(all(one.found for one in seen.results) for seen in islice(stream, 50))
        stream.grounder = none
        assert any(not any(one.found for one in seen.results) for seen in islice(stream, 50))


def test_a_grounder_that_cannot_read_the_phrases_is_refused(
    grounder: Grounder, tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "blind")
    vocab = folder / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("dog", "dig").replace("\nd\n", "\nD\n"))
    manifest = replace(Manifest.load(folder), files={"vocab.txt": sha256_file(vocab)})
    manifest.save(folder)
    with grounder.stream((numbered(n % 200) for n in count()), ["dog"]) as stream:
        with pytest.raises(PhraseError):
            stream.grounder = Grounder.load(folder, device="cpu", threads=1)
        assert stream.grounder is grounder
        assert next(stream).results[0].text == "dog"


@pytest.mark.parametrize("policy", ["all", "newest"])
def test_tracking_switched_while_it_runs(grounder: Grounder, policy: str) -> None:
    frames = (numbered(n % 200) for n in count())
    with grounder.stream(frames, PHRASES, every=3, policy=policy) as stream:
        before = list(islice(stream, 20))
        assert stream.tracking == DEFAULT_TRACKING
        assert not all(all(seen.fresh) for seen in before), "some are carried"
        stream.tracking = None
        assert stream.tracking is None
        list(islice(stream, 5))  # of those on their way
        for seen in islice(stream, 10):
            assert seen.fresh == (True,) * 3
            assert seen.results == grounder.ground(seen.frame, PHRASES)
        stream.tracking = Tracking(weight=1.0)
        list(islice(stream, 5))
        again = list(islice(stream, 20))
        assert not all(all(seen.fresh) for seen in again)
        with pytest.raises(GroundingError, match="tracking: expected"):
            stream.tracking = True  # type: ignore[assignment]
        assert stream.tracking == Tracking(weight=1.0)
        numbers = [seen.number for seen in (*before, *again)]
        assert numbers == sorted(set(numbers))


def test_switching_at_the_end_of_a_file_ends_all_the_same(grounder: Grounder, video: Path) -> None:
    numbers = []
    with grounder.stream(video, PHRASES) as stream:
        for seen in stream:
            numbers.append(seen.number)
            stream.tracking = None if stream.tracking else DEFAULT_TRACKING
    assert numbers == list(range(20))


def test_pictures_are_not_tracked_unless_it_is_asked_for(
    grounder: Grounder, tmp_path: Path, video: Path
) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(90 * number))
    with grounder.stream(f"{tmp_path}/*.png", PHRASES) as stream:
        assert stream.tracking is None
        assert [s.results == grounder.ground(s.frame, PHRASES) for s in stream] == [True] * 3
    with grounder.stream(f"{tmp_path}/*.png", PHRASES, tracking=Tracking()) as stream:
        assert stream.tracking == Tracking()
    with grounder.stream(video, PHRASES) as stream:
        assert stream.tracking == DEFAULT_TRACKING


def test_what_was_opened(grounder: Grounder, video: Path) -> None:
    with grounder.stream(video, "cat") as stream:
        assert stream.source is not None
        assert (stream.source.size_wh, stream.source.fps) == ((64, 48), 200)
        assert (stream.source.live, stream.source.stills) == (False, False)
    with grounder.stream([], "cat") as stream:
        assert stream.source is None


def test_a_result_that_is_not_there_is_not_waited_for(grounder: Grounder) -> None:
    go_on = threading.Event()

    def camera() -> Iterator[NDArray[np.uint8]]:
        yield numbered(0)
        assert go_on.wait(WAIT)
        yield numbered(1)

    with grounder.stream(camera(), "cat") as stream:
        assert stream.get(WAIT).number == 0
        for timeout in (0, 0.01):
            with pytest.raises(Empty):
                stream.get(timeout)
        go_on.set()
        assert stream.get().number == 1
        for _ in range(2):
            with pytest.raises(StreamEnded, match=r"Grounder\.stream makes a new one"):
                stream.get(WAIT)
    with pytest.raises(StreamEnded):
        stream.get()


def test_the_time_of_a_grounding_leaves_waiting_out(grounder: Grounder, video: Path) -> None:
    with grounder.stream(video, PHRASES, every=5) as stream:
        got = list(stream)
    assert all(0 < seen.inference <= seen.latency for seen in got if any(seen.fresh))
    for before, seen in pairwise(got):
        if not any(seen.fresh):
            assert seen.inference == before.inference


@pytest.mark.parametrize("policy", ["all", "newest"])
def test_a_stop_in_the_middle(grounder: Grounder, policy: str) -> None:
    stream = grounder.stream((numbered(n % 200) for n in count()), "cat", policy=policy)
    next(stream)
    stream.close()
    assert list(stream) == []
    stream.close()  # again
    assert not streaming_threads()


def test_a_stream_that_is_dropped_stops(grounder: Grounder) -> None:
    for _ in grounder.stream((numbered(n % 200) for n in count()), "cat"):
        break
    gc.collect()
    for thread in streaming_threads():
        thread.join(WAIT)


def test_closed_from_another_thread_while_the_consumer_waits(grounder: Grounder) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def camera() -> Iterator[NDArray[np.uint8]]:
        yield numbered(0)
        waiting.set()
        go_on.wait(WAIT)
        yield numbered(1)

    with grounder.stream(camera(), "cat") as stream, ThreadPoolExecutor(2) as pool:
        rest = pool.submit(list, stream)
        assert waiting.wait(WAIT)
        closing = pool.submit(stream.close)
        assert [result.number for result in rest.result(WAIT)] in ([], [0])
        go_on.set()
        closing.result(WAIT)


def test_an_error_of_the_source_reaches_the_consumer(grounder: Grounder) -> None:
    def camera() -> Iterator[NDArray[np.uint8]]:
        yield from map(numbered, range(5))
        raise OSError("unplugged")

    got: list[StreamResult] = []
    with grounder.stream(camera(), "cat") as stream:
        with pytest.raises(OSError, match="unplugged"):
            keep(got, stream)
        assert [result.number for result in got] == list(range(5))
        assert list(stream) == [], "an error is raised once"


def keep(got: list[StreamResult], stream: Iterator[StreamResult]) -> None:
    """What comes before an error too, which list() would lose."""
    for result in stream:
        got.append(result)


def test_a_bad_frame_reaches_the_consumer(grounder: Grounder) -> None:
    got: list[StreamResult] = []
    frames = [numbered(0), numbered(1), np.zeros((4, 4, 3), np.uint8), numbered(3)]
    with (
        grounder.stream(frames, "cat") as stream,
        pytest.raises(FrameError, match="expected sides"),
    ):
        keep(got, stream)
    assert [result.number for result in got] == [0, 1]


@pytest.mark.parametrize("policy", ["all", "newest"])
@pytest.mark.parametrize("tracked", [True, False])
def test_an_error_of_inference_reaches_the_consumer(
    grounder: Grounder, policy: str, tracked: bool
) -> None:
    sessions = {**grounder.sessions, "vision": FailsLater(grounder.sessions["vision"], 3)}
    failing = Grounder(grounder.manifest, grounder._tokenizer, sessions, "fp32")
    got: list[StreamResult] = []
    settings: dict[str, Any] = {} if tracked else {"tracking": None}
    frames = (numbered(n % 200) for n in count())
    with failing.stream(frames, "cat", policy=policy, **settings) as stream:
        with pytest.raises(BackendError, match="the device is gone"):
            keep(got, stream)
        assert list(stream) == []
    if policy == "all":
        assert [result.number for result in got] == [0, 1, 2]


def test_frames_do_not_wait_for_a_grounding(grounder: Grounder) -> None:
    vision = Waits(grounder.sessions["vision"])
    sessions = {**grounder.sessions, "vision": vision}
    slow = Grounder(grounder.manifest, grounder._tokenizer, sessions, "fp32")
    frames = (numbered(n % 200) for n in count())
    with slow.stream(frames, PHRASES, policy="newest") as stream:
        assert next(stream).results
        carried = [next(stream) for _ in range(50)]
        # The second grounding hangs: at most the first one's result is fresh.
        assert sum(any(result.fresh) for result in carried) <= 1
        assert all([one.text for one in result.results] == PHRASES for result in carried)
        vision.may_go_on.set()
        assert any(all(result.fresh) for result in stream)


def test_python_exits_with_a_stream_open() -> None:
    code = """
import sys; sys.path.insert(0, sys.argv[1])
from itertools import repeat
import numpy as np
from sdk import Grounder
frame = np.zeros((48, 64, 3), np.uint8)
stream = Grounder.load(threads=1).stream(repeat(frame), "the dog", policy="newest")
print(next(stream).results[0].text)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the dog\n", "")


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with network_camera(20) as server:
        yield server


def test_a_camera_that_dies_comes_back_until_it_does_not(
    grounder: Grounder,
    camera: http.server.ThreadingHTTPServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "grounder")
    url = address(camera)
    seen = []
    with (
        grounder.stream(url, "cat", reconnect_seconds=1) as stream,
        pytest.raises(SourceError, match=r"a\.mjpg did not come back within 1 s"),
    ):
        for result in stream:
            seen.append(result.number)
            if camera.connections == 3:  # type: ignore[attr-defined]
                camera.shutdown()
                camera.server_close()
    assert camera.connections >= 3  # type: ignore[attr-defined]
    assert seen == sorted(seen) and seen[-1] >= 2
    assert len(re.findall(r"a\.mjpg is back after 0\.\d s", caplog.text)) >= 2
    assert "a.mjpg stopped sending frames; check the cable or network; looking" in caplog.text


def test_a_camera_that_dies_is_not_looked_for_where_nobody_wants_it(
    grounder: Grounder, camera: http.server.ThreadingHTTPServer
) -> None:
    url = address(camera)
    with (
        grounder.stream(url, "cat", reconnect_seconds=0) as stream,
        pytest.raises(SourceError, match="stopped sending frames"),
    ):
        list(stream)
    assert camera.connections == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "settings", "error", "says"),
    [
        ("nothing.mp4", {}, SourceError, "does not exist"),
        (3.5, {}, SourceError, "iterable of frames, got float"),
        ([], {"phrases": []}, PhraseError, "at least one phrase"),
        ([], {"every": 0}, GroundingError, "every: expected"),
        ([], {"tracking": True}, GroundingError, "tracking: expected"),
        ([], {"policy": "some"}, GroundingError, "policy: expected"),
        ([], {"backlog": 0}, GroundingError, "backlog: expected"),
        ([], {"reconnect_seconds": -1}, GroundingError, "reconnect_seconds: expected"),
    ],
)
def test_what_cannot_be_streamed_is_said_at_once(
    grounder: Grounder, source: Any, settings: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        grounder.stream(source, **{"phrases": "cat", **settings})


def test_no_frames_no_results(grounder: Grounder) -> None:
    with grounder.stream([], "cat") as stream:
        assert list(stream) == []
