"""What goes wrong with a source, a frame or a device, and who hears of it."""

import asyncio
import http.server
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
import sdk.inputs.video
import sdk.streaming.capture
from sdk import BackendError, FrameError, Grounder, SourceError, StreamEnded
from sdk.streaming.stream import StreamResult
from tests.cameras import address, network_camera, numbered
from tests.streams import FailsLater, number_of, streaming_threads, write_video
from tests.waiting import WAIT

pytest_plugins = ["tests.streams"]
pytestmark = pytest.mark.usefixtures("no_threads_left")


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
    failing = Grounder(grounder.manifest, grounder._reader, sessions, "fp32")
    got: list[StreamResult] = []
    settings: dict[str, Any] = {} if tracked else {"tracking": None}
    frames = (numbered(n % 200) for n in count())
    with failing.stream(frames, "cat", policy=policy, **settings) as stream:
        with pytest.raises(BackendError, match="the device is gone"):
            keep(got, stream)
        assert list(stream) == []
    if policy == "all":
        assert [result.number for result in got] == [0, 1, 2]


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
