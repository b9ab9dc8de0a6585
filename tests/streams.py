"""Frames that can be told apart, sources of them, and graphs that fail, for tests of streams."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import BackendError
from sdk.backends.session import Session
from tests.cameras import numbered
from tests.waiting import WAIT

PHRASES = ["the dog", "a man in a red shirt", "cat"]


@pytest.fixture
def no_threads_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However a test ends its stream, the threads of it have ended."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    before = streaming_threads()
    yield
    assert streaming_threads() - before == set()


def number_of(frame: NDArray[np.uint8]) -> int:
    return round(float(frame.mean()))


def write_video(path: Path, frames: int, fps: float = 200, codec: str = "MJPG") -> Path:
    """The n-th frame has the grey 10 n, modulo 250."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    for number in range(frames):
        writer.write(numbered(10 * number % 250))
    writer.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """20 frames at 200 per second; the n-th has the grey 10 n."""
    return write_video(tmp_path / "video.avi", 20)


def streaming_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("grounder")}


class FailsLater:
    """A session that runs so many times, then fails as a lost device does."""

    def __init__(self, session: Session, runs: int) -> None:
        self.device, self.inputs, self.outputs = session.device, session.inputs, session.outputs
        self._session, self._left = session, runs

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if not self._left:
            raise BackendError("the device is gone")
        self._left -= 1
        return self._session.run(inputs)


class Waits(FailsLater):
    """A session that, after its first run, waits until it may go on."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, 1)
        self.may_go_on = threading.Event()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._left:
            return super().run(inputs)
        assert self.may_go_on.wait(WAIT)
        return self._session.run(inputs)
