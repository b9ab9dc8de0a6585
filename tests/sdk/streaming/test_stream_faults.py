"""What goes wrong with a source, a consumer or the end of a stream, and who hears of it."""

import asyncio
import logging
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
import sdk.inputs.video
import sdk.streaming.capture
from sdk import Grounder, SourceError, StreamEnded, StreamOverflowError
from sdk.backends.session import Session
from sdk.inputs.sources import open_source
from tests.paths import ROOT
from tests.streams import (
    PHRASES,
    WAIT,
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


def with_vision(grounder: Grounder, vision: Session) -> Grounder:
    sessions = {**grounder.sessions, "vision": vision}
    return Grounder(grounder.manifest, grounder._tokenizer, sessions, "fp32")


@pytest.mark.parametrize("policy", ["all", "newest"])
@pytest.mark.parametrize(
    "kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_whatever_a_source_raises_reaches_the_consumer(
    grounder: Grounder, kind: type[BaseException], policy: str
) -> None:
    def camera() -> Iterator[NDArray[np.uint8]]:
        yield numbered(0)
        raise kind("of the source")

    got = []
    with grounder.stream(camera(), "cat", policy=policy) as stream:
        with pytest.raises(SourceError, match=f"got {kind.__name__}") as raised:
            while True:
                got.append(stream.get(WAIT).number)
        assert isinstance(raised.value.__cause__, kind)
        with pytest.raises(StreamEnded):
            stream.get(WAIT)
    assert got == [0]


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


def test_a_source_that_blocks_does_not_hold_up_closing(
    grounder: Grounder, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()

    def camera() -> Iterator[NDArray[np.uint8]]:
        yield numbered(0)
        go_on.wait(WAIT)

    stream = grounder.stream(camera(), "cat")
    assert stream.get(WAIT).number == 0
    with ThreadPoolExecutor(1) as pool:
        pool.submit(stream.close).result(10)
    assert "the source blocks: closing has waited 3 s for its thread" in caplog.text
    (left,) = streaming_threads()
    go_on.set()
    left.join(WAIT)


def test_a_damaged_picture_does_not_end_the_stream(
    grounder: Grounder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number))
    (tmp_path / "2.png").write_bytes(b"damaged")
    with grounder.stream(f"{tmp_path}/*.png", "cat") as stream:
        assert [number_of(seen.frame) for seen in stream] == [0, 1, 3]
    assert "2.png" in caplog.text


def test_a_video_that_is_cut_off_says_so_after_its_last_frame(
    grounder: Grounder, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "video.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    numbers = []
    with grounder.stream(path, "cat") as stream, pytest.raises(SourceError, match="cut off"):
        for seen in stream:
            numbers.append(seen.number)
    assert numbers == list(range(len(numbers))) and len(numbers) > 10


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
            (capture,) = (t for t in streaming_threads() if t.name == "grounder capture")
            capture.join(WAIT)
            vision.may_go_on.set()
            for seen in stream:
                numbers.append(seen.number)
    # Before it is said, what waited comes without a gap: of the first and one on the way, five.
    assert numbers == list(range(len(numbers))) and 5 <= len(numbers) <= 7


def test_a_camera_that_is_silent_is_lost(
    grounder: Grounder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk.inputs.video, "LIVE_TIMEOUT_SECONDS", 1.0)
    over = threading.Event()
    with network_camera(20, lambda: over.wait(WAIT)) as server:
        with (
            grounder.stream(address(server), "cat", reconnect_seconds=0) as stream,
            pytest.raises(SourceError, match="stopped sending frames"),
        ):
            while True:
                stream.get(WAIT)
        over.set()


def test_a_camera_whose_read_hangs_is_opened_again(
    grounder: Grounder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a pipeline that OpenCV waits for without an end."""
    monkeypatch.setattr(sdk.streaming.capture, "HANG_SECONDS", 1.0)
    over = threading.Event()
    with network_camera(20, lambda: over.wait(WAIT)) as server:
        with grounder.stream(address(server), "cat", policy="all") as stream:
            numbers = [stream.get(WAIT).number for _ in range(50)]
            threads = streaming_threads()
        over.set()
    assert server.connections >= 3  # type: ignore[attr-defined]
    assert numbers == list(range(50))
    for thread in threads:
        thread.join(WAIT)


class Counting:
    """A session that counts its runs."""

    def __init__(self, session: Session, runs: Counter[str]) -> None:
        self.device, self.inputs, self.outputs = session.device, session.inputs, session.outputs
        self._session, self._runs = session, runs

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self._runs["text"] += 1
        return self._session.run(inputs)


def test_any_number_of_phrases_is_encoded_once(grounder: Grounder) -> None:
    runs: Counter[str] = Counter()
    sessions = {**grounder.sessions, "text": Counting(grounder.sessions["text"], runs)}
    counted = Grounder(grounder.manifest, grounder._tokenizer, sessions, "fp32")
    words = "cat", "dog"
    phrases = [" ".join(words[n >> bit & 1] for bit in range(9)) for n in range(300)]
    assert len(set(phrases)) == 300
    with counted.stream((numbered(n % 200) for n in count()), phrases) as stream:
        assert [one.text for one in next(stream).results] == phrases
        list(islice(stream, 5))
        assert runs["text"] == 300
        stream.grounder = counted  # for another one they are encoded anew
        assert runs["text"] > 300


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
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n1\n", "grounder.source\n")
