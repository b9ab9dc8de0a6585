"""Streams: what comes of a source and in which order, and a clean end, on the real threads."""

import gc
import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path
from queue import Empty
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import ArgumentError, Grounder, GroundingError, PhraseError, SourceError, StreamEnded
from sdk.streaming.tracking import Tracking
from tests.cameras import address, network_camera, numbered
from tests.paths import ROOT
from tests.streams import PHRASES, number_of, streaming_threads, write_video
from tests.waiting import WAIT, run_process

pytest_plugins = ["tests.streams"]
pytestmark = pytest.mark.usefixtures("no_threads_left")


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
    with grounder.stream(video, PHRASES, tracking="auto") as stream:
        assert stream.tracking == Tracking()
    with pytest.raises(ArgumentError, match=r"tracking: expected sdk\.Tracking, 'auto' or None"):
        grounder.stream(video, PHRASES, tracking="always")  # type: ignore[arg-type]


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
        for wrong in ("1", -1, 1e30, float("nan")):
            with pytest.raises(ArgumentError, match="timeout: expected a number from 0"):
                stream.get(wrong)  # type: ignore[arg-type]
        go_on.set()
        assert stream.get(WAIT).number == 1
        for _ in range(2):
            with pytest.raises(StreamEnded, match=r"Grounder\.stream makes a new one"):
                stream.get(WAIT)
    with pytest.raises(StreamEnded):
        stream.get(WAIT)


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
    done = run_process([sys.executable, "-c", code, str(ROOT)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "the dog\n", "")


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


def test_times_of_a_video_file(grounder: Grounder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.avi", 20, fps=10)
    with grounder.stream(path, "cat", every=3, tracking=None) as stream:
        times = [seen.media_time for seen in stream]
    assert times == pytest.approx([0.3 * index for index in range(7)])


def test_what_is_no_video_file_has_no_times(grounder: Grounder, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), numbered(0))
    for source in ([numbered(0)], tmp_path / "0.png"):
        with grounder.stream(source, "cat") as stream:  # type: ignore[arg-type]
            assert [seen.media_time for seen in stream] == [None]
    with (
        network_camera(20) as server,
        grounder.stream(address(server), "cat", reconnect_seconds=0) as stream,
        pytest.raises(SourceError),
    ):
        for seen in stream:
            assert seen.media_time is None


def test_what_runs_a_graph_is_logged(tiny_bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "grounder")
    Grounder.load(tiny_bundle)
    for graph in ("vision", "text", "fusion"):
        assert f"{graph} graph, fp32: on cpu, auto asked" in caplog.text


def test_nothing_is_printed_unless_a_program_asks_for_it(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), numbered(0))
    (tmp_path / "1.png").write_bytes(b"damaged")
    code = """
import logging, sys; sys.path.insert(0, sys.argv[1])
from sdk.inputs.sources import open_source
print(len(list(open_source(sys.argv[2]))))
logging.basicConfig(format="%(name)s")
print(len(list(open_source(sys.argv[2]))))
"""
    done = run_process([sys.executable, "-c", code, str(ROOT), str(tmp_path)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n1\n", "grounder.source\n")
