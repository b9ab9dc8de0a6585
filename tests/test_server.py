"""The server over HTTP, on a loopback port, with a real (tiny) bundle."""

import argparse
import asyncio
import base64
import http.client
import json
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from starlette.testclient import TestClient

import sdk
import sdk.backends
from sdk import BackendError, Grounder, Grounding, GroundingError
from sdk.backends import Session, open_session
from sdk.cli import add_model_options, main
from sdk.server import Limits, command, create_app
from sdk.server.batcher import Batcher
from sdk.server.errors import BusyError
from sdk.server.metrics import Metrics

ROOT = Path(sdk.__file__).parents[1]
PHRASES = ["the dog", "a man in a red shirt", "cat"]
UNKNOWN = "\u72ac"  # a letter, so a phrase, but none the tiny bundle knows
SERVE = """
import argparse, sys
sys.path.insert(0, {root!r})
from sdk.cli import add_model_options, report_errors
from sdk.server import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
add_model_options(parser)
args = parser.parse_args()
sys.exit(report_errors(lambda: command.run(args)))
"""


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

    monkeypatch.setattr(sdk.backends, "open_session", open_watched)
    return watch


@pytest.fixture
def grounder(watch: Watch, tiny_bundle: Path) -> Grounder:
    return Grounder.load(tiny_bundle, device="cpu", threads=1)


@contextmanager
def serving(grounder: Grounder, limits: Limits | None = None, **options: Any) -> Iterator[str]:
    """The address of a server that runs in a thread; afterwards it has stopped by itself."""
    with command.listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(create_app(grounder, limits, **options), log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield command.address(listener)
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
    assert "grounder-worker" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def server(grounder: Grounder) -> Iterator[str]:
    with serving(grounder) as address:
        yield address


def png(frame: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", frame)[1].tobytes()


def ask(address: str, image: bytes, phrases: list[str]) -> httpx.Response:
    url, files = f"{address}/v1/ground", {"image": ("x", image)}
    return httpx.post(url, files=files, data={"phrases": phrases}, timeout=30)


def ask_json(address: str, body: object) -> httpx.Response:
    return httpx.post(f"{address}/v1/ground", json=body, timeout=30)


def results_of(response: httpx.Response) -> list[Grounding]:
    assert response.status_code == 200, response.text
    return [
        Grounding(one["text"], tuple(one["box"]), one["score"], one["found"])
        for one in response.json()["results"]
    ]


def assert_same(got: list[Grounding], expected: list[Grounding]) -> None:
    """Equal but for the last digits, which phrases that are fused together may change."""
    assert [(one.text, one.found) for one in got] == [(one.text, one.found) for one in expected]
    assert_allclose([one.box for one in got], [one.box for one in expected], rtol=1e-5)
    assert_allclose([one.score for one in got], [one.score for one in expected], rtol=1e-5)


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


def test_a_form_gets_what_ground_gives(
    server: str, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    response = ask(server, png(frame), PHRASES)
    assert_same(results_of(response), grounder.ground(frame, PHRASES))
    answer = response.json()
    assert (answer["size_wh"], answer["batch"]) == ([200, 120], 1)
    assert set(answer["timings"]) == {"wait_ms", "encode_ms", "fuse_ms", "total_ms"}
    assert answer["timings"]["total_ms"] >= answer["timings"]["fuse_ms"] > 0


def test_json_gets_what_a_form_gets(server: str, frame: NDArray[np.uint8]) -> None:
    body = {"image": base64.b64encode(png(frame)).decode(), "phrases": PHRASES}
    assert results_of(ask_json(server, body)) == results_of(ask(server, png(frame), PHRASES))


def test_a_photo_is_read_as_from_its_file(
    tmp_path: Path, server: str, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    """Upright by its EXIF orientation, and with the same pixels."""
    jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
    exif = b"Exif\0\0" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    (tmp_path / "photo.jpg").write_bytes(turned)
    response = ask(server, turned, PHRASES)
    assert response.json()["size_wh"] == [120, 200]
    assert_same(results_of(response), grounder.ground(tmp_path / "photo.jpg", PHRASES))


def test_waiting_requests_for_one_frame_share_a_vision_pass_and_a_fusion_call(
    server: str, grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    questions = [["the dog"], ["cat", "the dog"], ["a man in a red shirt"]]
    watch.gate.clear()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, server, png(frame[::-1]), ["cat"])
        wait_until(lambda: watch.runs["vision"] == 1)
        waiting = [pool.submit(ask, server, png(frame), asked) for asked in questions]
        wait_until(lambda: metric(server, "grounder_requests_waiting") == 3)
        watch.gate.set()
        assert other.result().json()["batch"] == 1
        answers = [one.result() for one in waiting]
    assert [answer.json()["batch"] for answer in answers] == [3, 3, 3]
    assert (watch.runs["vision"], watch.runs["fusion"]) == (2, 2)
    assert metric(server, "grounder_phrases_total") == 1 + 3  # "the dog" once
    assert_same(results_of(other.result()), [grounder.ground(frame[::-1], "cat")])
    for answer, asked in zip(answers, questions, strict=True):
        assert_same(results_of(answer), grounder.ground(frame, asked))


def test_a_bad_phrase_fails_its_own_request_alone(
    server: str, grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, server, png(frame[::-1]), ["cat"])
        wait_until(lambda: watch.runs["vision"] == 1)
        good = pool.submit(ask, server, png(frame), ["the dog"])
        bad = pool.submit(ask, server, png(frame), [UNKNOWN])
        wait_until(lambda: metric(server, "grounder_requests_waiting") == 2)
        watch.gate.set()
        assert first.result().status_code == 200
    assert_refused(bad.result(), 422, "PhraseError", "expected words the text encoder knows")
    assert watch.runs["vision"] == 2
    assert_same(results_of(good.result()), [grounder.ground(frame, "the dog")])


def test_the_last_frames_stay_encoded(
    grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    here, there, elsewhere = png(frame), png(frame[::-1]), png(frame[:, ::-1])
    with serving(grounder, Limits(frames=2)) as address:
        for image in (here, there, here, elsewhere, here):  # `there` is the one to go
            assert ask(address, image, ["cat"]).status_code == 200
        assert watch.runs["vision"] == 3 == metric(address, "grounder_frames_encoded_total")
        assert ask(address, there, ["cat"]).status_code == 200
    assert watch.runs["vision"] == 4


def test_a_full_queue_refuses(grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]) -> None:
    watch.gate.clear()
    with serving(grounder, Limits(queue=2)) as address, ThreadPoolExecutor() as pool:
        pending = [pool.submit(ask, address, png(frame), ["cat"])]
        wait_until(lambda: watch.runs["vision"] == 1)
        pending += [pool.submit(ask, address, png(frame), ["the dog"]) for _ in range(2)]
        wait_until(lambda: metric(address, "grounder_requests_waiting") == 2)
        refused = ask(address, png(frame), ["cat"])
        assert_refused(refused, 503, "BusyError", "expected at most 2 requests to wait")
        assert refused.headers["retry-after"] == "1"
        unread = httpx.post(f"{address}/v1/ground", content=b"neither a form nor JSON")
        assert unread.status_code == 503  # not 415: the body was not looked at
        assert httpx.get(f"{address}/healthz").json()["status"] == "ok"
        watch.gate.set()
        assert [one.result().status_code for one in pending] == [200, 200, 200]
        assert metric(address, 'grounder_requests_total{status="503"}') == 2


def test_an_answer_that_takes_too_long_is_given_up(
    grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    with serving(grounder, Limits(seconds=0.3)) as address:
        for _ in range(2):  # the second one waits in the queue, and is dropped from it
            refused = ask(address, png(frame), ["cat"])
            assert_refused(refused, 503, "BusyError", "expected an answer within 0.3 s")
        watch.gate.set()
        wait_until(lambda: metric(address, "grounder_requests_waiting") == 0)
        assert ask(address, png(frame), ["the dog"]).status_code == 200
    assert watch.runs["fusion"] == 2  # the first request's, too late, and the third's


def test_a_request_that_does_not_arrive_is_given_up(grounder: Grounder) -> None:
    with serving(grounder, Limits(seconds=0.3)) as address:
        connection = http.client.HTTPConnection("127.0.0.1", int(address.rpartition(":")[2]))
        connection.putrequest("POST", "/v1/ground")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"image": ')
        response = connection.getresponse()
        assert response.status == 408
        assert json.loads(response.read())["error"] == "SlowRequestError"
        connection.close()


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_body_is_refused(grounder: Grounder, watch: Watch, declared: bool) -> None:
    body = b'{"image": "' + b"A" * 3000
    with serving(grounder, Limits(body_bytes=2000)) as address:
        refused = httpx.post(
            f"{address}/v1/ground",
            content=body if declared else (body[i : i + 500] for i in range(0, len(body), 500)),
            headers={"Content-Type": "application/json"},
        )
        assert_refused(refused, 413, "TooLargeError", "expected a body of at most 2000 bytes")
        form = ask(address, b"A" * 3000, ["cat"])
        assert_refused(form, 413, "TooLargeError", "expected a body of at most 2000 bytes")
    assert not watch.runs


def claims_to_be(width: int, height: int) -> bytes:
    """A PNG of some dozen bytes that says it is larger."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"IEND"
    chunks = [header, b"IDAT" + zlib.compress(b"\0"), end]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


@pytest.mark.parametrize("side", [2000, 60_000])  # the second is too much for Pillow itself
def test_a_picture_of_too_many_pixels_is_refused_undecoded(grounder: Grounder, side: int) -> None:
    with serving(grounder, Limits(pixels=1_000_000)) as address:
        refused = ask(address, claims_to_be(side, side), ["cat"])
        assert_refused(refused, 413, "TooLargeError", "expected a picture of")


def test_pictures_that_cannot_be_used(server: str, watch: Watch, frame: NDArray[np.uint8]) -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0, 0, 0) + b";"
    for image in (b"", b"not a picture", gif, png(frame)[:60], claims_to_be(100, 100)[:40]):
        refused = ask(server, image, ["cat"])
        assert_refused(refused, 422, "FrameError", f"got {len(image)} bytes that cannot be decoded")
    refused = ask(server, png(frame[:4, :4]), ["cat"])
    assert_refused(refused, 422, "FrameError", "expected sides of 8 to 8192 pixels, got 4 x 4")
    assert not watch.runs


@pytest.mark.parametrize(
    ("phrases", "text"),
    [
        (["cat"] * 5, "expected at most 4 phrases, got 5; ask in several"),
        (["cat"] * 50, "Too many fields"),
        (["cat", "a" * 31], "phrase 1: expected at most 30 characters, got 31"),
        (["cat", " "], "phrase 1: expected words that describe an object"),
        ([UNKNOWN], "expected words the text encoder knows"),
        ([], "expected at least one phrase"),
    ],
)
def test_phrases_that_cannot_be_used(
    grounder: Grounder, frame: NDArray[np.uint8], phrases: list[str], text: str
) -> None:
    with serving(grounder, Limits(phrases=4, phrase_characters=30)) as address:
        response = ask(address, png(frame), phrases)
    assert response.status_code in (400, 422)
    assert text in response.json()["message"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"image": "", "phrase": "cat"}, "got for phrases: Field required"),
        ({"image": "", "phrases": ["cat"], "path": "x"}, "got for path: Extra inputs"),
        ({"image": 1, "phrases": ["cat"]}, "got for image: Input should be a valid string"),
        ({"image": "", "phrases": "cat"}, "got for phrases: Input should be a valid array"),
        ({"image": "", "phrases": [None]}, "got for phrases.0: Input should be a valid string"),
        ([], "got for the body: "),
        ({"image": "a b", "phrases": ["cat"]}, "not base64"),
        ({"image": "\u00e9", "phrases": ["cat"]}, "not base64"),
        ({"image": "/etc/passwd", "phrases": ["cat"]}, "not base64"),
        ({"image": "http://127.0.0.1/a.png", "phrases": ["cat"]}, "not base64"),
    ],
)
def test_json_of_another_form(server: str, body: object, text: str) -> None:
    assert_refused(ask_json(server, body), 400, "RequestError", text)


def test_requests_of_another_form(server: str, frame: NDArray[np.uint8], tmp_path: Path) -> None:
    url = f"{server}/v1/ground"
    (tmp_path / "real.png").write_bytes(png(frame))
    path = {"image": (None, str(tmp_path / "real.png")), "phrases": (None, "cat")}
    assert_refused(httpx.post(url, files=path), 400, "RequestError", "a file 'image'")
    more = {"image": ("x", png(frame)), "phrases": (None, "cat"), "url": (None, "file:///x")}
    assert_refused(httpx.post(url, files=more), 400, "RequestError", "'url'")
    two = [("image", ("x", b"1")), ("image", ("y", b"2"))]
    assert_refused(httpx.post(url, files=two), 400, "RequestError", "Too many files")
    assert_refused(httpx.post(url, data={"a": "b"}), 415, "MediaTypeError", "x-www-form")
    assert_refused(httpx.post(url), 415, "MediaTypeError", "got 'none'")
    headers = {"Content-Type": "application/json"}
    broken = httpx.post(url, content=b"{", headers=headers)
    assert_refused(broken, 400, "RequestError", "Invalid JSON")
    no_boundary = httpx.post(url, content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert_refused(no_boundary, 400, "RequestError", "oundary")
    assert_refused(httpx.get(url), 405, "RequestError", "see /docs")
    assert_refused(httpx.get(f"{server}/../etc/passwd"), 404, "RequestError", "see /docs")


def test_a_failing_model_is_logged_not_told(
    server: str,
    watch: Watch,
    frame: NDArray[np.uint8],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch.broken = True
    with caplog.at_level(logging.ERROR):
        response = ask(server, png(frame), ["cat"])
    assert_refused(response, 500, "ServerError", "its log says why")
    assert "secret" not in response.text
    assert "/secret/vision.onnx" in caplog.text
    watch.broken = False
    assert ask(server, png(frame), ["cat"]).status_code == 200


def test_health_and_metrics(server: str, frame: NDArray[np.uint8]) -> None:
    assert httpx.get(f"{server}/healthz").json() == {
        "status": "ok",
        "version": sdk.__version__,
        "bundle": "tiny",
        "device": "cpu",
        "precision": "fp32",
    }
    ask(server, png(frame), PHRASES)
    ask(server, b"", PHRASES)
    assert httpx.get(f"{server}/metrics").headers["content-type"].startswith("text/plain")
    assert metric(server, 'grounder_requests_total{status="200"}') == 1
    assert metric(server, 'grounder_requests_total{status="422"}') == 1
    assert metric(server, "grounder_request_seconds_count") == 2
    assert metric(server, "grounder_phrases_total") == len(PHRASES)
    assert metric(server, "grounder_batch_requests_sum") == 1


def test_the_interface_describes_itself(server: str) -> None:
    schema = httpx.get(f"{server}/openapi.json").json()
    operation = schema["paths"]["/v1/ground"]["post"]
    bodies = operation["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/json"}
    for body in bodies.values():
        assert set(body["schema"]["properties"]) == {"image", "phrases"}
        assert body["schema"]["required"] == ["image", "phrases"]
    assert set(operation["responses"]) >= {"200", "400", "408", "413", "415", "422", "503"}
    box = schema["components"]["schemas"]["PhraseResult"]["properties"]["box"]
    assert (box["minItems"], box["maxItems"], len(box["examples"][0])) == (4, 4, 4)
    docs = httpx.get(f"{server}/docs")
    assert docs.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', docs.text)
    assert loaded and all(link.startswith("/") for link in loaded)  # works without the internet
    assert all(httpx.get(server + link).status_code == 200 for link in loaded)


def test_on_loopback_other_host_names_are_refused(grounder: Grounder) -> None:
    """A page elsewhere may let its own name point to 127.0.0.1."""
    with serving(grounder, hosts=["127.0.0.1", "localhost"]) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        for host, status in (("localhost:1", 200), ("evil.example", 400), ("", 400)):
            response = httpx.get(f"{address}/healthz", headers={"Host": host})
            assert response.status_code == status


def test_named_hosts_are_the_only_ones_elsewhere_too(tiny_bundle: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    add_model_options(parser)
    options = ["--host", "0.0.0.0", "--bundle", str(tiny_bundle)]
    for more, status in (([], 200), (["--allow-host", "example.org"], 400)):
        app = command.make_app(parser.parse_args([*options, *more]))
        with TestClient(app) as client:
            answer = client.get("/healthz", headers={"Host": "evil.example"})
            assert answer.status_code == status


@pytest.mark.parametrize("number", ["nan", "inf", "0", "-1"])
@pytest.mark.parametrize("option", ["--max-mib", "--max-megapixels"])
def test_limits_that_are_none(option: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", f"{option}={number}"]) == 2
    error = capsys.readouterr().err
    assert f"{option}: expected a number from 0.001" in error and error.count("\n") == 1


def test_stopping_finishes_what_runs_and_refuses_what_waits(
    grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    batcher = Batcher(grounder, Limits(), Metrics())
    batcher.start()
    running = batcher.submit(png(frame), ["cat"])
    wait_until(lambda: watch.runs["vision"] == 1)
    waiting = batcher.submit(png(frame), ["the dog"])
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(batcher.close)
        wait_until(lambda: _refuses(batcher, png(frame)))
        watch.gate.set()
        stopped.result(30)
    assert running.result(0).results[0].text == "cat"
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(0)
    assert not batcher.alive


def test_the_queue_itself_is_bounded(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    """Many requests may pass the server's first look before one of them is in the queue."""
    batcher = Batcher(grounder, Limits(queue=1), Metrics())
    waiting = batcher.submit(png(frame), ["cat"])
    with pytest.raises(BusyError, match="expected at most 1 requests to wait"):
        batcher.submit(png(frame), ["cat"])
    batcher.close()
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(0)


def _refuses(batcher: Batcher, image: bytes) -> bool:
    try:
        future: Future[Any] = batcher.submit(image, ["cat"])
    except BusyError:
        return True
    future.cancel()
    return False


def test_a_client_that_leaves_does_no_harm(
    server: str, frame: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    port = int(server.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = "POST /v1/ground HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
    wait_until(lambda: metric(server, "grounder_request_seconds_count") == 1)
    assert ask(server, png(frame), ["cat"]).status_code == 200
    assert "Traceback" not in caplog.text


def test_limits_must_be_positive() -> None:
    with pytest.raises(GroundingError, match="queue: expected a positive number, got 0"):
        Limits(queue=0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("example.org", False),
    ],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert command.is_loopback(host) == loopback


def test_it_listens_on_loopback_unless_told() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.is_loopback(parser.parse_args([]).host)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    with command.listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_explained() -> None:
    with command.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(GroundingError, match=f"port {port}: .*choose another --host or --port"):
            command.listen("127.0.0.1", port)
    with pytest.raises(GroundingError, match="cannot listen"):
        command.listen("127.0.0.1", 70_000)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_command_serves_until_interrupted(
    tiny_bundle: Path, frame: NDArray[np.uint8], host: str
) -> None:
    code = SERVE.format(root=str(ROOT))
    options = ["--bundle", str(tiny_bundle), "--device", "cpu", "--host", host, "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options], stderr=subprocess.PIPE, text=True
    )
    try:
        log = ""
        while "serving on" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        port = re.search(r"serving on http://[\d.]+:(\d+)", log)[1]
        assert ask(f"http://127.0.0.1:{port}", png(frame), ["cat"]).status_code == 200
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert ("asks for no password" in log) == (host != "127.0.0.1")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart", "PIL"])
def test_a_missing_package_is_explained(tiny_bundle: Path, package: str) -> None:
    block = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
sys.path.insert(0, {str(ROOT)!r})
import sdk, sdk.cli, sdk.server, sdk.grounder
"""
    options = ["--bundle", str(tiny_bundle), "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-c", block + SERVE.format(root=str(ROOT)), *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the server needs a package")
    assert "Fix: pip install fastapi" in done.stderr


def test_many_clients_get_their_own_answers(
    server: str, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    frames = [frame, frame[::-1], frame[:, ::-1]]
    expected = [[grounder.ground(one, phrase) for phrase in PHRASES] for one in frames]

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=30) as client:
            questions = [
                client.post(
                    f"{server}/v1/ground",
                    files={"image": ("x", png(frames[i % 3]))},
                    data={"phrases": [PHRASES[i // 3 % 3]]},
                )
                for i in range(45)
            ]
            return await asyncio.gather(*questions)

    for i, response in enumerate(asyncio.run(all_at_once())):
        assert_same(results_of(response), [expected[i % 3][i // 3 % 3]])
