"""The server over HTTP: what it answers."""

import asyncio
import base64
import logging
import re
import socket
import struct
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import sdk
from sdk import Grounder
from sdk.inputs.frames import Region
from sdk.server import Limits
from tests.paths import ROOT
from tests.serving import (
    PHRASES,
    Watch,
    ask,
    ask_json,
    assert_refused,
    assert_same,
    metric,
    png,
    results_of,
    serving,
    wait_until,
)

pytest_plugins = ["tests.serving"]


def test_a_form_gets_what_ground_gives(
    server: str, watched_grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    response = ask(server, png(frame), PHRASES)
    assert_same(results_of(response), watched_grounder.ground(frame, PHRASES))
    answer = response.json()
    assert (answer["size_wh"], answer["batch"]) == ([200, 120], 1)
    assert set(answer["timings"]) == {"wait_ms", "encode_ms", "fuse_ms", "total_ms"}
    assert answer["timings"]["total_ms"] >= answer["timings"]["fuse_ms"] > 0


def test_json_gets_what_a_form_gets(server: str, frame: NDArray[np.uint8]) -> None:
    body = {"image": base64.b64encode(png(frame)).decode(), "phrases": PHRASES}
    assert results_of(ask_json(server, body)) == results_of(ask(server, png(frame), PHRASES))


@pytest.mark.parametrize(
    ("alternatives", "region"),
    [(3, None), (0, (10, 20, 90, 100)), (2, (-5.5, 20.5, 90.25, 500)), (16, (0, 0, 200, 120))],
)
def test_alternatives_and_a_region_mean_what_they_mean_to_ground(
    server: str,
    watched_grounder: Grounder,
    frame: NDArray[np.uint8],
    alternatives: int,
    region: Region | None,
) -> None:
    expected = watched_grounder.ground(frame, PHRASES, alternatives=alternatives, region=region)
    assert any(result.alternatives for result in expected) == (alternatives > 0)
    body = {"image": base64.b64encode(png(frame)).decode(), "phrases": PHRASES}
    settings = {"alternatives": alternatives, "region": region}
    in_json = ask_json(server, {**body, **settings})
    if region:
        settings["region"] = ",".join(map(str, region))
    in_form = ask(server, png(frame), PHRASES, **{k: v for k, v in settings.items() if v})
    assert results_of(in_form) == results_of(in_json)
    assert_same(results_of(in_form), expected)
    assert in_form.json()["size_wh"] == [200, 120]
    for one, result in zip(in_form.json()["results"], expected, strict=True):
        assert one.keys() == result.to_dict().keys()


def test_the_default_bundle_on_a_photo() -> None:
    photo = ROOT / "apps/assets/astronaut.jpg"
    grounder = Grounder.load(device="cpu", threads=1)
    phrases = ["the flag on the left", "the face"]
    with serving(grounder) as address:
        for region in (None, (150, 0, 330, 200)):
            expected = grounder.ground(photo, phrases, alternatives=3, region=region)
            body = {"image": base64.b64encode(photo.read_bytes()).decode(), "phrases": phrases}
            answer = ask_json(address, {**body, "alternatives": 3, "region": region})
            assert_same(results_of(answer), expected)
            assert all(result.alternatives for result in expected)


def test_a_photo_is_read_as_from_its_file(
    tmp_path: Path, server: str, watched_grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    """Upright by its EXIF orientation, and with the same pixels."""
    jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
    exif = b"Exif\0\0" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    (tmp_path / "photo.jpg").write_bytes(turned)
    response = ask(server, turned, PHRASES)
    assert response.json()["size_wh"] == [120, 200]
    assert_same(results_of(response), watched_grounder.ground(tmp_path / "photo.jpg", PHRASES))


def test_many_clients_get_their_own_answers(
    server: str, watched_grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    frames = [frame, frame[::-1], frame[:, ::-1]]
    expected = [[watched_grounder.ground(one, phrase) for phrase in PHRASES] for one in frames]

    async def all_at_once() -> list[httpx.Response]:
        bound = httpx.Limits(max_connections=Limits().connections_per_client)
        async with httpx.AsyncClient(timeout=30, limits=bound) as client:
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
        "teaching": False,
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
    models = schema["components"]["schemas"]
    assert bodies["application/json"]["schema"] == {"$ref": "#/components/schemas/GroundRequest"}
    for body in (bodies["multipart/form-data"]["schema"], models["GroundRequest"]):
        fields = body["properties"]
        assert set(fields) == {"image", "phrases", "alternatives", "region"}
        assert all(field["description"] for field in fields.values())
        assert (fields["alternatives"]["minimum"], fields["alternatives"]["maximum"]) == (0, 16)
        assert (fields["phrases"]["maxItems"], fields["phrases"]["items"]["maxLength"]) == (32, 200)
        assert set(body["required"]) == {"image", "phrases"}
        assert body["additionalProperties"] is False
    assert set(operation["responses"]) >= {"200", "400", "408", "413", "415", "422", "503"}
    result = models["PhraseResult"]
    assert result["required"] == ["text", "box", "score", "found", "instances"]
    for name in ("instances", "alternatives"):
        places = result["properties"][name]
        assert places["description"] and places["items"] == {"$ref": "#/components/schemas/Place"}
        assert places["examples"][0][0].keys() == models["Place"]["properties"].keys()
    for model in (result, models["Place"]):
        box = model["properties"]["box"]
        assert (box["minItems"], box["maxItems"]) == (4, 4)
    docs = httpx.get(f"{server}/docs")
    assert docs.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', docs.text)
    assert loaded and all(link.startswith("/") for link in loaded)  # works without the internet
    assert all(httpx.get(server + link).status_code == 200 for link in loaded)
