"""Videos run at their source's speed, and figures say what was seen."""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.webcam.meter import KEPT, Meter
from apps.webcam.precision import PrecisionSwitch
from apps.webcam.recorder import Recorder, free_path
from sdk import Grounder, Grounding, GroundingError
from sdk.inputs.sources import FrameSource
from sdk.streaming.stream import StreamResult
from tests.paths import ROOT
from tests.waiting import WAIT, run_process


def source(live: bool) -> FrameSource:
    return FrameSource(iter(()), fps=10, size_wh=(64, 48), live=live)


def grey(value: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), value, np.uint8)


def greys(path: Path) -> list[int]:
    """Of each frame of a video, to the nearest ten."""
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        got, frame = capture.read()
        if not got:
            return found
        found.append(round(float(frame.mean()) / 10) * 10)


def test_a_live_source_is_recorded_in_time_without_what_is_held(tmp_path: Path) -> None:
    path = tmp_path / "live.mp4"
    with Recorder(source(live=True)) as recorder:
        recorder.start(path)
        for value, now in ((10, 5.0), (50, 5.11), (90, 5.42), (90, 5.43)):
            recorder.write(grey(value), now)
        assert recorder.seconds == pytest.approx(0.5)
        recorder.hold()
        recorder.write(grey(130), 100.0)
        recorder.write(grey(170), 100.11)
    assert greys(path) == [10, 50, 90, 90, 90, 130, 170]
    assert recorder.written == [path]


def test_a_file_is_recorded_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "file.mp4"
    with Recorder(source(live=False)) as recorder:
        recorder.start(path)
        for value, now in ((10, 0.0), (50, 7.0), (90, 7.01)):
            recorder.write(grey(value), now)
        assert not path.exists()
    assert greys(path) == [10, 50, 90]


def test_one_video_after_the_other(tmp_path: Path) -> None:
    first, second = tmp_path / "1.mp4", tmp_path / "2.avi"
    with Recorder(source(live=False)) as recorder:
        recorder.write(grey(10), 0.0)
        assert recorder.seconds is None and recorder.stop() is None
        recorder.start(first)
        recorder.write(grey(50), 0.1)
        assert recorder.stop() == first and recorder.seconds is None
        recorder.start(tmp_path / "none.mp4")
        assert recorder.seconds == 0
        assert recorder.stop() is None
        with pytest.raises(GroundingError, match=r"out\.gif"):
            recorder.start(tmp_path / "out.gif")
        recorder.start(second)
        recorder.write(grey(90), 0.2)
    assert recorder.written == [first, second]
    assert sorted(tmp_path.iterdir()) == [first, second]
    assert (greys(first), greys(second)) == ([50], [90])


def test_names_are_not_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: form.replace("%Y%m%d-%H%M%S", "now"))
    for name in ("snapshot-now.jpg", "snapshot-now-2.jpg", "snapshot-now-3.jpg"):
        path = free_path("snapshot", ".jpg")
        assert path == Path(name)
        path.touch()
    assert free_path("recording", ".mp4") == Path("recording-now.mp4")


def seen(number: int, *, fresh: bool) -> StreamResult:
    result = Grounding("a dog", (0, 0, 9, 9), 0.5, True)
    return StreamResult(grey(0), [result], (fresh,), (1,), number, None, 0.0, 0.25, 0.125)


def test_the_meter_counts_frames_and_groundings() -> None:
    meter = Meter(live=True, max_frames=300)
    assert (meter.fps, meter.groundings_per_second) == (0.0, 0.0)
    assert meter.summary() == "0 frames"
    assert meter.text() == "0.0 FPS | 0.0 groundings/s"
    for number in range(300):
        assert not meter.full
        meter.add(seen(number, fresh=number % 3 == 0))
    assert meter.full and meter.frames == 300
    assert len(meter.samples) == KEPT
    assert [sample.latency for sample in meter.samples] == KEPT * [0.25]
    assert [sample.grounding for sample in meter.samples][:3] == [0.125, None, None]
    assert meter.groundings_per_second == pytest.approx(meter.fps / 3)
    assert meter.text().endswith("| 125 ms")
    assert meter.summary().endswith("median grounding 125.0 ms")


def test_of_a_file_there_is_no_latency() -> None:
    meter = Meter(live=False, max_frames=None)
    meter.add(seen(0, fresh=True))
    assert meter.samples[0] == (None, 0.125) and not meter.full


def options(bundle: Path) -> argparse.Namespace:
    return argparse.Namespace(
        bundle=bundle, device="cpu", precision="auto", threads=1, engines=None
    )


def taken(switch: PrecisionSwitch) -> Grounder | None:
    """What the switch comes to."""
    deadline = time.monotonic() + WAIT
    while not (grounder := switch.take()) and switch.loading:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return grounder


def test_the_precisions_go_round(tiny_bundle: Path) -> None:
    said: list[str] = []
    grounder = Grounder.load(tiny_bundle, device="cpu", threads=1)
    with PrecisionSwitch(options(tiny_bundle), grounder, said.append) as switch:
        assert switch.take() is None and not switch.loading
        names = []
        for _ in range(3):
            switch.start()
            switch.start()  # while it loads: nothing more
            loaded = taken(switch)
            assert loaded
            names.append(loaded.info.precision)
        assert switch.take() is None, "each is given once"
    assert names == ["int8", "fp32", "int8"]
    assert said[:2] == ["loading int8", "int8, on cpu"]


def test_a_precision_that_does_not_load_is_passed_over(tiny_bundle: Path) -> None:
    said: list[str] = []
    grounder = Grounder.load(tiny_bundle, device="cpu", threads=1)
    (tiny_bundle / "text.int8.onnx").unlink()
    with PrecisionSwitch(options(tiny_bundle), grounder, said.append) as switch:
        switch.start()
        assert taken(switch) is None and not switch.loading
        assert said[-1].startswith("int8 does not run here: the bundle")
        switch.start()
        assert not switch.loading
    assert said[-1] == "fp32 is all that this bundle has for this device"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a file's size on Windows")
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_a_full_disk_is_an_error_and_the_old_video_stays(tmp_path: Path, ending: str) -> None:
    (path := tmp_path / f"out{ending}").write_bytes(b"the old one")
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from apps.video_file import VideoFile\n"
        "from sdk import GroundingError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"  # writing fails, as on a full disk
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "video, rng = VideoFile(sys.argv[1], 20, (160, 120)), np.random.default_rng(0)\n"
        "for _ in range(60):\n"
        "    video.write(rng.integers(0, 255, (120, 160, 3), np.uint8))\n"
        "try:\n"
        "    video.close()\n"
        "except GroundingError as error:\n"
        "    print(error)\n"
    )
    done = run_process([sys.executable, "-c", code, str(path)], cwd=ROOT)
    assert "is the disk full?" in done.stdout, done.stderr
    assert path.read_bytes() == b"the old one" and list(tmp_path.iterdir()) == [path]
