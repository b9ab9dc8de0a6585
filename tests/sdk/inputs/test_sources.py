"""Frames come in order and complete, and whatever gives none is a SourceError."""

import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import DependencyError, FrameError, SourceError
from sdk.inputs.sources import open_source
from tests.cameras import address, network_camera, numbered, numbered_jpeg
from tests.paths import ROOT
from tests.streams import number_of as grey_of
from tests.streams import streaming_threads, write_video
from tests.waiting import WAIT, run_process

WIDTH, HEIGHT = 64, 48


def number_of(frame: NDArray[np.uint8]) -> int:
    return round(grey_of(frame) / 10)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """20 numbered frames at 10 per second."""
    return write_video(tmp_path / "video.mp4", 20, fps=10, codec="mp4v")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures 1, 2 and 10, and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in (10, 2, 1):
        cv2.imwrite(str(folder / f"shot{number}.PNG"), numbered(10 * number))
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_video_gives_all_its_frames_in_order(video: Path) -> None:
    with open_source(video) as source:
        assert (source.fps, source.size_wh, source.live) == (10, (WIDTH, HEIGHT), False)
        assert not source.stills
        frames = list(source)
    assert [number_of(frame) for frame in frames] == list(range(20))
    assert all(frame.shape == (HEIGHT, WIDTH, 3) and frame.dtype == np.uint8 for frame in frames)


def test_a_folder_gives_its_pictures_innatural_order(pictures: Path) -> None:
    with open_source(pictures) as source:
        assert (source.size_wh, source.live, source.stills) == ((WIDTH, HEIGHT), False, True)
        assert [number_of(frame) for frame in source] == [1, 2, 10]


def test_a_pattern_and_a_single_picture(pictures: Path) -> None:
    assert [number_of(frame) for frame in open_source(f"{pictures}/shot1*.PNG")] == [1, 10]
    assert [number_of(frame) for frame in open_source(pictures / "shot2.PNG")] == [2]


@pytest.mark.parametrize("name", ["shot0.png", "shot3.png"])
def test_a_damaged_picture_is_left_out_and_named(
    pictures: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (pictures / name).write_bytes(b"damaged")
    with open_source(pictures) as source:
        assert [number_of(frame) for frame in source] == [1, 2, 10]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("grounder.source", "WARNING")
    assert name in record.getMessage()


def test_no_picture_that_decodes(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    for spec in (tmp_path, tmp_path / "0.png"):
        with pytest.raises(FrameError, match=r"0\.png"):
            open_source(spec)


def cut(path: Path, part: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    return path


def test_an_avi_that_is_cut_off(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "video.avi", 100), 0.5)
    frames = []
    told = r"video\.avi: expected 100 frames, as its header announces, got (\d+), and .* cut off"
    with open_source(path) as source, pytest.raises(SourceError, match=told) as raised:
        for frame in source:
            frames.append(frame)
    match = re.search(told, str(raised.value))
    assert match and int(match[1]) == len(frames)
    assert 30 < len(frames) < 70


def test_another_video_with_fewer_frames_than_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = cut(write_video(tmp_path / "video.mkv", 100, codec="mp4v"), 0.5)
    with open_source(path) as source:
        got = len(list(source))
    assert 0 < got < 100
    assert f"video.mkv: expected 100 frames, as its header announces, got {got}" in caplog.text


def test_a_whole_video_or_one_that_is_closed_is_not_complained_of(
    video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (video, write_video(tmp_path / "video.avi", 100)):
        with open_source(path) as source:
            assert list(source)
        with open_source(path) as source:
            next(source)
        assert list(source) == []
    assert not caplog.records


@pytest.mark.parametrize(
    "spec",
    ["", "-1", "nothing.mp4", "nothing/", "no*.jpg", "no.jpg", f"videotestsrc ! {'tee ! ' * 99}"],
)
def test_what_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"expected"):
        open_source(spec)


@pytest.mark.parametrize("spec", [98, "98", "rtsp://127.0.0.1:9/none", "http://127.0.0.1:9/a.mp4"])
def test_a_camera_or_stream_that_is_not_there(
    spec: int | str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=f"{spec} yields no frames; check"):
        open_source(spec)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [0, 100, 700])
def test_an_empty_damaged_or_cut_video(
    video: Path, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    video.write_bytes(video.read_bytes()[:size])
    with pytest.raises(SourceError, match=r"video\.mp4 yields no frames"):
        open_source(video)
    assert capfd.readouterr() == ("", "")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected pictures \(\.bmp"):
        open_source(tmp_path)


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a network camera that shows 20 numbers, and then the last one on and on."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with network_camera(10_000, jpeg=lambda n: numbered_jpeg(min(n, 19)), fps=100) as server:
        yield address(server)


def test_a_slow_reader_of_a_stream_sees_the_present(camera: str) -> None:
    with open_source(camera) as source:
        assert source.live
        assert source.size_wh == (WIDTH, HEIGHT)
        numbers = [number_of(next(source))]
        while numbers[-1] < 19:
            time.sleep(0.2)
            numbers.append(number_of(next(source)))
    assert len(numbers) < 20
    assert numbers == sorted(numbers)


def test_a_stream_that_stops_is_an_error_after_its_last_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    last = None
    with (
        network_camera(20) as server,
        open_source(address(server)) as source,
        pytest.raises(SourceError, match="stopped"),
    ):
        for frame in source:
            last = number_of(frame)
    assert last is not None


def test_a_closed_stream_gives_no_more_frames(camera: str) -> None:
    with open_source(camera) as source:
        next(source)
    with pytest.raises(SourceError, match="stopped"):
        next(source)


def test_a_stream_left_open_does_not_break_the_end_of_the_process(camera: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from sdk.inputs.sources import open_source\n"
        f"source = open_source('{camera}')\n"
        "print(next(source).shape)"
    )
    done = run_process([sys.executable, "-c", code])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"({HEIGHT}, {WIDTH}, 3)\n", "")


def test_closing_does_not_wait_for_a_stream_that_is_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    go_on = threading.Event()
    with network_camera(20, lambda: go_on.wait(WAIT)) as server, ThreadPoolExecutor(1) as pool:
        source = open_source(address(server))
        while number_of(next(source)) < 19:  # the last one
            pass
        threads = streaming_threads()
        pool.submit(source.close).result(8)  # a dead connection is given up after 10 s
        assert "a.mjpg blocks: closing has waited 3 s for its thread" in caplog.text
        go_on.set()
        for thread in threads:
            thread.join(WAIT)


HAS_GSTREAMER = cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)
needs_gstreamer = pytest.mark.skipif(
    not HAS_GSTREAMER, reason="OpenCV is built without GStreamer, as all from pip are"
)
TEST_PICTURE = "videotestsrc num-buffers=20 ! video/x-raw,width=64,height=48 ! videoconvert"


@pytest.mark.skipif(HAS_GSTREAMER, reason="OpenCV is built with GStreamer")
def test_a_pipeline_without_gstreamer_says_what_to_install() -> None:
    with pytest.raises(DependencyError, match=r"with GStreamer.* Fix: .*python3-opencv"):
        open_source(f"{TEST_PICTURE} ! video/x-raw,format=BGR ! appsink drop=true")


@needs_gstreamer
def test_a_pipeline_is_live() -> None:
    with open_source(f"{TEST_PICTURE} ! video/x-raw,format=BGR ! appsink drop=true") as source:
        assert source.live and source.size_wh == (WIDTH, HEIGHT)
        assert next(source).shape == (HEIGHT, WIDTH, 3)
        with pytest.raises(SourceError, match="stopped"):
            list(source)


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "complaint"),
    [
        ("surely_no_element ! appsink", "yields no frames; check"),
        (f"{TEST_PICTURE} ! video/x-raw,format=GRAY8 ! appsink", "expected BGR frames"),
    ],
)
def test_a_pipeline_that_does_not_work(pipeline: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        open_source(pipeline)
