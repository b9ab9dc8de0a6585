"""Servers of a real (tiny) bundle on a loopback port, watched, and questions to ask them."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import sdk.backends.select
from sdk import BackendError, Grounder, Grounding
from sdk.backends.select import open_session
from sdk.backends.session import Session
from sdk.results import Place
from sdk.server import Limits, create_app, serve

PHRASES = ["the dog", "a man in a red shirt", "cat"]
UNKNOWN = "\u72ac"  # a letter, so a phrase, but none the tiny bundle knows


class Watch:
    """What the graphs are doing: how often each ran, and a gate to hold the vision graph at."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watches the real sessions of every Grounder loaded later."""
    watch = Watch()

    class WatchedSession:
        def __init__(self, session: Session, graph: str) -> None:
            self.device, self.inputs, self.outputs = session.device, session.inputs, session.outputs
            self._session, self._graph = session, graph

        def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            watch.runs[self._graph] += 1
            if self._graph == "vision":
                assert watch.gate.wait(30)
                if watch.broken:
                    raise BackendError("no memory for /secret/vision.onnx")
            return self._session.run(inputs)

    def open_watched(path: Path, device: str, threads: int | None) -> WatchedSession:
        return WatchedSession(open_session(path, device, threads), path.name.split(".")[0])

    monkeypatch.setattr(sdk.backends.select, "open_session", open_watched)
    return watch


@pytest.fixture
def watched_grounder(watch: Watch, tiny_bundle: Path) -> Grounder:
    """The Grounder of the tiny bundle, its graphs watched."""
    return Grounder.load(tiny_bundle, device="cpu", threads=1)


@contextmanager
def serving(
    grounder: Grounder,
    limits: Limits | None = None,
    tls: tuple[str, str] | None = None,
    **options: Any,
) -> Iterator[str]:
    """The address of a server that runs in a thread; afterwards it has stopped by itself."""
    with serve.listen("127.0.0.1", 0) as listener:
        server = serve.make_server(create_app(grounder, limits, **options), *(tls or ()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield serve.address(listener, tls is not None)
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
    assert "grounder-worker" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def server(watched_grounder: Grounder) -> Iterator[str]:
    with serving(watched_grounder) as address:
        yield address


def png(frame: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", frame)[1].tobytes()


def ask(address: str, image: bytes, phrases: list[str], **settings: Any) -> httpx.Response:
    """A form. `settings`: alternatives and region, in their form's form."""
    url, files = f"{address}/v1/ground", {"image": ("x", image)}
    return httpx.post(url, files=files, data={"phrases": phrases, **settings}, timeout=30)


def ask_json(address: str, body: object) -> httpx.Response:
    return httpx.post(f"{address}/v1/ground", json=body, timeout=30)


def results_of(response: httpx.Response) -> list[Grounding]:
    assert response.status_code == 200, response.text
    return [
        Grounding(
            one["text"],
            tuple(one["box"]),
            one["score"],
            one["found"],
            _places(one["instances"]),
            _places(one.get("alternatives", [])),
            tuple(one.get("unknown_words", [])),
        )
        for one in response.json()["results"]
    ]


def _places(sent: Sequence[Mapping[str, Any]]) -> tuple[Place, ...]:
    return tuple(Place(tuple(one["box"]), one["score"]) for one in sent)


def assert_same(got: list[Grounding], expected: list[Grounding]) -> None:
    """Equal but for the last digits, which phrases that are fused together may change."""
    assert [(one.text, _found(one)) for one in got] == [(one.text, _found(one)) for one in expected]
    for one, other in zip(got, expected, strict=True):
        for place, wanted in zip((one, *one.places()), (other, *other.places()), strict=True):
            assert_allclose(place.box, wanted.box, rtol=1e-5)
            assert_allclose(place.score, wanted.score, rtol=1e-5)


def _found(result: Grounding) -> tuple[bool, int, tuple[str, ...]]:
    return result.found, len(result.instances), result.unknown_words


def assert_refused(response: httpx.Response, status: int, error: str, text: str) -> None:
    answer = response.json()
    assert (response.status_code, answer["error"]) == (status, error), answer
    assert text in answer["message"]
    assert "Traceback" not in response.text


def metric(address: str, name: str) -> float:
    text = httpx.get(f"{address}/metrics").text
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("what was waited for did not come")
