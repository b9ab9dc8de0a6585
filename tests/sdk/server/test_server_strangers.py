"""The server and clients that mean no good: what they cost the others."""

import http.client
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
from sdk import FrameError, Grounder
from sdk.server import Limits
from sdk.server.connections import network_of
from sdk.server.errors import TooLargeError
from sdk.server.images import pixels_of
from sdk.server.serve import read_token
from tests.serving import Watch, ask, ask_json, assert_refused, png, serving, wait_until
from tests.waiting import WAIT

pytest_plugins = ["tests.serving"]

TOKEN = "a-token-of-24-characters"


def connect(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=30)


def form(charset: str) -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}


@pytest.mark.parametrize("charset", ["punycode", "undefined", "utf-7", '"idna"', "latin-1"])
def test_forms_are_in_utf_8_only(server: str, watch: Watch, charset: str) -> None:
    """One codec is quadratic, another one raises whatever it is given."""
    part = b'--x\r\nContent-Disposition: form-data; name="phrases"\r\n\r\nb-%s\r\n--x--\r\n'
    refused = httpx.post(
        f"{server}/v1/ground", content=part % (b"a" * 1000), headers=form(charset), timeout=30
    )
    assert_refused(refused, 415, "MediaTypeError", "expected charset utf-8")
    assert not watch.runs


def test_utf_8_may_be_said(server: str, frame: NDArray[np.uint8]) -> None:
    fields = {"image": ("x", png(frame)), "phrases": (None, "the dög")}
    request = httpx.Request("POST", f"{server}/v1/ground", files=fields)
    request.headers["Content-Type"] += "; charset=UTF-8"
    with httpx.Client(timeout=30) as client:
        answer = client.send(request).json()
    assert answer["results"][0]["text"] == "the dög"


def test_pages_of_other_origins_are_refused(server: str, frame: NDArray[np.uint8]) -> None:
    fields = {"image": ("x", png(frame)), "phrases": (None, "cat")}
    for origin in ("http://evil.example", "null", "", "http://127.0.0.1:1"):
        refused = httpx.post(f"{server}/v1/ground", files=fields, headers={"Origin": origin})
        assert_refused(refused, 403, "OriginError", f"got one of {origin!r}")
    own = httpx.post(f"{server}/v1/ground", files=fields, headers={"Origin": server}, timeout=30)
    assert own.status_code == 200


def test_a_million_values_are_not_parsed(server: str, watch: Watch) -> None:
    for body in ({"image": "", "phrases": [0] * 10**5}, {hex(n): 0 for n in range(10**5)}):
        assert_refused(ask_json(server, body), 400, "RequestError", "commas; see /docs")
    most = {"image": "", "phrases": ["," * 200] * 32}
    assert_refused(ask_json(server, most), 422, "PhraseError", "no letter or digit")
    assert not watch.runs


def test_refusals_have_one_form(watched_grounder: Grounder) -> None:
    with serving(watched_grounder, hosts=["127.0.0.1"]) as address:
        foreign = httpx.get(f"{address}/healthz", headers={"Host": "evil.example"})
        assert_refused(foreign, 400, "RequestError", "got 'evil.example'")
        for sent in (b"no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000):
            with connect(address) as client:
                client.sendall(sent)
                answer = http.client.HTTPResponse(client)
                answer.begin()
                assert answer.status == 400
                assert answer.headers["Content-Type"] == "application/json"
                assert json.loads(answer.read())["error"] == "RequestError"


def test_silent_connections_keep_nobody_out(server: str, frame: NDArray[np.uint8]) -> None:
    with ExitStack() as stack:
        for number in range(200):
            client = stack.enter_context(connect(server))
            if number % 2:
                client.sendall(b"POST /v1/ground HTTP/1.1\r\nHost: 127.0")
        assert httpx.get(f"{server}/healthz", timeout=30).status_code == 200
        assert ask(server, png(frame), ["cat"]).status_code == 200


def test_half_sent_requests_keep_nobody_out(server: str, frame: NDArray[np.uint8]) -> None:
    """Of one's own address; and of so many others that they could have all the connections."""
    head = b"POST /v1/ground HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\nContent-Type: "
    half = head + form("utf-8")["Content-Type"].encode() + b"\r\n\r\n--x"
    port = int(server.rpartition(":")[2])
    with ExitStack() as stack:
        for number in range(200):
            source = f"127.0.0.{1 + number % 10}" if sys.platform == "linux" else "127.0.0.1"
            client = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
            stack.enter_context(client).sendall(half)
            if number % 50 == 0:  # answered meanwhile, too
                assert httpx.get(f"{server}/healthz", timeout=30).status_code == 200
        assert ask(server, png(frame), ["cat"]).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"])
@pytest.mark.parametrize("first", [False, True])
def test_a_head_must_come_in_time(watched_grounder: Grounder, sent: bytes, first: bool) -> None:
    """A connection's later ones, too."""
    with serving(watched_grounder, Limits(seconds=0.3)) as address, connect(address) as client:
        if first:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in client.recv(9999)
        client.sendall(sent)
        rest = b"".join(iter(lambda: client.recv(9999), b""))  # until the server closes it
        assert b"HTTP/1.1" not in rest


def test_one_client_has_so_many_requests_at_a_time(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    with serving(watched_grounder, Limits(connections_per_client=2)) as address:
        with ThreadPoolExecutor() as pool:
            busy = [pool.submit(ask, address, png(frame[n:]), ["cat"]) for n in range(2)]
            wait_until(lambda: watch.runs["vision"] == 1)
            answers: list[httpx.Response] = []

            def is_refused() -> bool:
                answers.append(ask(address, b"", ["cat"]))
                return answers[-1].status_code == 503

            wait_until(is_refused)
            refused = answers[-1]
            assert_refused(refused, 503, "BusyError", "expected at most 2 requests at a time")
            assert refused.headers["retry-after"] == "1"
            assert httpx.get(f"{address}/healthz").status_code == 200
            watch.gate.set()
            assert [one.result(WAIT).status_code for one in busy] == [200, 200]
        assert ask(address, png(frame), ["cat"]).status_code == 200


def test_small_pictures_do_not_wait_for_large_ones(
    watched_grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    large = png(np.zeros((2000, 3000, 3), np.uint8))
    pictures = [large + bytes([number]) for number in range(12)]  # of other bytes, for the server
    with serving(watched_grounder, Limits(decoders=1, seconds=60)) as address:
        with ThreadPoolExecutor(13) as pool:
            asked = {pool.submit(ask, address, one, ["cat"]): "large" for one in pictures}
            next(as_completed(asked))  # by now the others wait
            asked[pool.submit(ask, address, png(frame), ["cat"])] = "small"
            order = [asked[one] for one in as_completed(asked)]
        assert all(one.result(WAIT).status_code == 200 for one in asked)
    assert "large" in order[order.index("small") + 5 :], order


def test_what_nobody_waits_for_is_not_decoded(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    """Given up while the worker was busy, pictures leave the decoders' places."""
    watch.gate.clear()
    with serving(watched_grounder, Limits(decoders=1, seconds=0.5)) as address:
        for rows in range(3):
            assert ask(address, png(frame[rows:]), ["cat"]).status_code == 503
        watch.gate.set()
        wait_until(lambda: ask(address, png(frame[:90]), ["cat"]).status_code == 200)
    assert watch.runs["vision"] == 2


def test_the_search_for_a_pictures_size_ends() -> None:
    blocks = b"\xff\xd8" + b"\xff\xe5\0\2" * 2000
    jpeg = cv2.imencode(".jpg", np.zeros((16, 24, 3), np.uint8))[1].tobytes()
    assert pixels_of(jpeg, Limits()) == 16 * 24
    assert pixels_of(blocks[:2002] + jpeg[2:], Limits()) == 16 * 24
    with pytest.raises(FrameError, match="cannot be decoded"):
        pixels_of(blocks + jpeg[2:], Limits())


def test_a_jpeg_has_so_many_scans() -> None:
    """Each of a dozen bytes, and the whole picture's work."""
    image = np.zeros((100, 100, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    bomb = jpeg[:-2] + scan * 60 + jpeg[-2:]
    assert pixels_of(bomb, Limits()) == 10_000
    with pytest.raises(TooLargeError, match="at most 32 scans of 20000 pixels"):
        pixels_of(bomb, Limits(pixels=20_000))
    assert pixels_of(jpeg, Limits(pixels=20_000)) == 10_000


def test_a_token_is_asked_for(watched_grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    fields = {"image": ("x", png(frame)), "phrases": (None, "cat")}
    with serving(watched_grounder, token=TOKEN) as address:
        for given in ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}):
            refused = httpx.post(f"{address}/v1/ground", files=fields, headers=given)
            assert_refused(refused, 401, "TokenError", "expected this server's token")
            assert refused.headers["www-authenticate"] == "Bearer"
            assert httpx.get(f"{address}/metrics", headers=given).status_code == 401
            assert httpx.get(f"{address}/healthz", headers=given).status_code == 200
        known = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.post(f"{address}/v1/ground", files=fields, headers=known, timeout=30)
        assert answer.status_code == 200
        assert httpx.get(f"{address}/metrics", headers=known).status_code == 200
        schema = httpx.get(f"{address}/openapi.json").json()
    assert schema["paths"]["/v1/ground"]["post"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in schema["paths"]["/healthz"]["get"]


def test_where_a_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDER_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("GROUNDER_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    (file := tmp_path / "token").write_text("another-token-of-thirty\n")
    assert read_token(file) == "another-token-of-thirty"
    for unfit in ("", "short", "a token of spaces and a\nline", "\xe9" * 20):
        file.write_text(unfit)
        with pytest.raises(sdk.GroundingError, match="--token-file: expected a"):
            read_token(file)
    with pytest.raises(sdk.GroundingError, match="--token-file: expected a file"):
        read_token(tmp_path / "none")
    monkeypatch.setenv("GROUNDER_TOKEN", "short")
    with pytest.raises(sdk.GroundingError, match="GROUNDER_TOKEN: expected a token"):
        read_token(None)


@pytest.mark.parametrize(
    ("address", "other", "one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_what_counts_as_one_client(address: str, other: str, one: bool) -> None:
    assert (network_of(address) == network_of(other)) == one
