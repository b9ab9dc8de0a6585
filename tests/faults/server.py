"""Requests that no browser sends."""

import io
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import PIL.Image
from starlette.testclient import TestClient

from sdk import Grounder
from sdk.server import create_app
from tests.faults.case import Case, expect
from tests.tiny_bundle import write_tiny_bundle

CHARSETS = ("utf-8", "punycode", "undefined", "utf-16", "idna", "base64", "none", "\x00")
TYPES = (
    *("multipart/form-data", "application/x-www-form-urlencoded", "application/json", "text/plain"),
    "multipart/form-data; boundary=",
)


def server(rng: Random, folder: Path) -> Iterator[Case]:
    """Forms, bodies and heads; every answer is JSON with a status below 500."""
    app = create_app(Grounder.load(write_tiny_bundle(folder / "bundle")))
    file = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), "red").save(file, "PNG")
    picture = file.getvalue()
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True) as client:
        while True:
            name, request = rng.choice((form, raw))(rng, picture)

            def run(request: dict[str, Any] = request) -> None:
                answer = client.request(**request)
                expect(answer.status_code < 500, f"status {answer.status_code}")
                expect(
                    "application/json" in answer.headers["content-type"], "an answer not in JSON"
                )
                answer.json()

            yield Case(name, run)


def form(rng: Random, picture: bytes) -> tuple[str, dict[str, Any]]:
    """A form of the right kind with fields that are not."""
    image = picture
    if rng.random() < 0.5:
        damaged = bytearray(picture)
        del damaged[rng.randrange(len(damaged)) :]
        image = bytes(damaged)
    words = ["the dog", "", "\0", "x" * 2000, "кошка", "\r\n\r\n--", "a\x1b[0m", " "]
    fields: list[tuple[str, Any]] = [
        ("image", (rng.choice(["x", "", "../x", "a" * 300]), image)),
        *(("phrases", (None, rng.choice(words))) for _ in range(rng.choice([0, 1, 2, 40]))),
        ("alternatives", (None, rng.choice(["1", "-1", "nan", "1e9", "9" * 400, ""]))),
        ("region", (None, rng.choice(["0,0,9,9", "nan,0,1,1", "1,2", "[0,0,30,20]", "9" * 500]))),
        ("nobody", (None, "x")),
    ]
    chosen = rng.sample(fields, rng.randint(0, len(fields)))
    request = {"method": "POST", "url": "/v1/ground", "files": chosen or {"x": (None, "")}}
    return f"form of {len(chosen)} fields", request


def raw(rng: Random, picture: bytes) -> tuple[str, dict[str, Any]]:
    """A body that may be no form, with a type that may be none."""
    kind = rng.choice(TYPES)
    if rng.random() < 0.5:
        kind += f"; charset={rng.choice(CHARSETS)}"
    body = rng.choice([b"", picture, rng.randbytes(300), b"a=b&" * 500, b"{" * 500, b"--x\r\n"])
    method = rng.choice(["POST", "POST", "GET", "PUT", "DELETE", "OPTIONS"])
    url = rng.choice(["/v1/ground", "/healthz", "/nothing", "/v1/ground?x=" + "9" * 300])
    headers = {"content-type": kind.encode("latin-1", "replace")}
    return f"{method} {url[:12]} {kind}", {
        "method": method,
        "url": url,
        "content": body,
        "headers": headers,
    }
