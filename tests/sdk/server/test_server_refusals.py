"""The server over HTTP: requests that it refuses, and what it says to them."""

import base64
import http.client
import json
import struct
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import ArgumentError, FrameError, Grounder
from sdk.server import Limits
from tests.serving import UNKNOWN, Watch, ask, ask_json, assert_refused, png, serving

pytest_plugins = ["tests.serving"]

CAT = {"image": "", "phrases": ["cat"]}


def test_a_request_that_does_not_arrive_is_given_up(watched_grounder: Grounder) -> None:
    with serving(watched_grounder, Limits(seconds=0.3)) as address:
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
def test_a_large_body_is_refused(watched_grounder: Grounder, watch: Watch, declared: bool) -> None:
    body = b'{"image": "' + b"A" * 3000
    with serving(watched_grounder, Limits(body_bytes=2000)) as address:
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
def test_a_picture_of_too_many_pixels_is_refused_undecoded(
    watched_grounder: Grounder, side: int
) -> None:
    with serving(watched_grounder, Limits(pixels=1_000_000)) as address:
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
        (["cat"] * 5, "phrases: List should have at most 4 items after validation, not 5"),
        (["cat"] * 1001, "Too many fields"),
        (["cat", "a" * 31], "phrases.1: String should have at most 30 characters, got 'aaa"),
        (["cat", " "], "phrase 1: expected words that describe an object"),
        ([UNKNOWN], "expected words the text encoder knows"),
        ([], "phrases: Field required"),
    ],
)
def test_phrases_that_cannot_be_used(
    watched_grounder: Grounder, frame: NDArray[np.uint8], phrases: list[str], text: str
) -> None:
    with serving(watched_grounder, Limits(phrases=4, phrase_characters=30)) as address:
        response = ask(address, png(frame), phrases)
    assert response.status_code in (400, 422)
    assert text in response.json()["message"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"image": "", "phrase": "cat"}, "phrases: Field required"),
        (
            {"image": "", "phrases": ["cat"], "path": "x"},
            "path: Extra inputs are not permitted, got 'x'",
        ),
        ({"image": 1, "phrases": ["cat"]}, "image: expected base64"),
        ({"image": "", "phrases": "cat"}, "phrases: Input should be a valid list"),
        ({"image": "", "phrases": [None]}, "phrases.0: Input should be a valid string"),
        ({**CAT, "alternatives": "3"}, "alternatives: Input should be a valid integer"),
        ({**CAT, "alternatives": True}, "alternatives: Input should be a valid integer"),
        ({**CAT, "alternatives": 1.5}, "alternatives: Input should be a valid integer"),
        ({**CAT, "alternatives": 17}, "alternatives: Input should be less than or equal to 16"),
        ({**CAT, "alternatives": -1}, "alternatives: Input should be greater than or equal to 0"),
        ({**CAT, "region": [1, 2, 3]}, "region: List should have at least 4 items"),
        ({**CAT, "region": "1,2,30,40"}, "region: Input should be a valid list"),
        ({**CAT, "region": [1, 2, 30, "4"]}, "region.3: Input should be a valid number"),
        ([], "the body: Input should be a valid dictionary"),
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
    assert_refused(
        httpx.post(url, files=path), 400, "RequestError", "image: Value error, Expected Upload"
    )
    more = {"image": ("x", png(frame)), "phrases": (None, "cat"), "url": (None, "file:///x")}
    assert_refused(httpx.post(url, files=more), 400, "RequestError", "url: Extra inputs")
    assert_refused(httpx.post(url, data={"a": "b"}), 415, "MediaTypeError", "x-www-form")
    assert_refused(httpx.post(url), 415, "MediaTypeError", "got 'none'")
    headers = {"Content-Type": "application/json"}
    broken = httpx.post(url, content=b"{", headers=headers)
    assert_refused(broken, 400, "RequestError", "JSON decode error")
    no_boundary = httpx.post(url, content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert_refused(no_boundary, 400, "RequestError", "oundary")
    assert_refused(httpx.get(url), 405, "RequestError", "see /docs")
    assert_refused(httpx.get(f"{server}/../etc/passwd"), 404, "RequestError", "see /docs")


@pytest.mark.parametrize("number", ["-1", "4", "1.5", "x", "9" * 5000])
def test_alternatives_that_are_no_number_or_too_many(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8], number: str
) -> None:
    with serving(watched_grounder, Limits(alternatives=3)) as address:
        refused = ask(address, png(frame), ["cat"], alternatives=number)
    assert_refused(refused, 400, "RequestError", "alternatives: ")
    assert number[:10] in refused.text
    assert len(refused.text) < 300
    assert not watch.runs


@pytest.mark.parametrize("region", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "", "1;2;30;40"])
def test_a_region_that_is_not_four_numbers(
    server: str, frame: NDArray[np.uint8], region: str
) -> None:
    refused = ask(server, png(frame), ["cat"], region=region)
    assert_refused(refused, 400, "RequestError", "region")


@pytest.mark.parametrize("field", ["phrases", "alternatives", "region"])
def test_a_file_where_text_belongs(server: str, frame: NDArray[np.uint8], field: str) -> None:
    fields = {"phrases": "cat", "alternatives": "1", "region": "1,2,30,40"}
    files = {"image": ("x", png(frame)), field: ("x", fields.pop(field).encode())}
    refused = httpx.post(f"{server}/v1/ground", files=files, data=fields, timeout=30)
    assert_refused(refused, 400, "RequestError", field)


@pytest.mark.parametrize(
    "region",
    [
        (30.0, 0.0, 10.0, 40.0),
        (200.0, 0.0, 300.0, 100.0),
        (10.0, 10.0, 12.0, 90.0),
        (0.0, 0.0, float("nan"), 90.0),
        (float("-inf"), 0.0, 50.0, 90.0),
    ],
)
def test_a_region_of_no_use_is_refused_as_ground_does(
    server: str,
    watched_grounder: Grounder,
    watch: Watch,
    frame: NDArray[np.uint8],
    region: tuple[float, float, float, float],
) -> None:
    with pytest.raises(FrameError) as expected:
        watched_grounder.ground(frame, "cat", region=region)
    in_form = ask(server, png(frame), ["cat"], region=",".join(map(str, region)))
    content = json.dumps(  # with NaN, which httpx would refuse
        {"image": base64.b64encode(png(frame)).decode(), "phrases": ["cat"], "region": region}
    )
    headers = {"Content-Type": "application/json"}
    in_json = httpx.post(f"{server}/v1/ground", content=content, headers=headers)
    for refused in (in_form, in_json):
        assert_refused(refused, 422, "FrameError", "expected a region")
        assert refused.json()["message"] == str(expected.value)
    assert not watch.runs["vision"]


def test_limits_must_be_positive() -> None:
    with pytest.raises(ArgumentError, match="queue: expected a whole number from 1 on, got 0"):
        Limits(queue=0)
    with pytest.raises(ArgumentError, match="seconds: expected a number above 0"):
        Limits(seconds=float("nan"))
