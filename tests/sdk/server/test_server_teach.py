"""Teaching over HTTP: one more example a request, where the server allows it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from sdk import Grounder
from sdk.server import create_app, teach
from tests.pupils import CUP as CUP_PICTURE
from tests.pupils import CUP_BOX, PICTURES

pytest_plugins = ["tests.pupils"]

CUP = CUP_PICTURE.read_bytes()
BOX = ",".join(map(str, CUP_BOX))


@pytest.fixture
def client(pupil: Grounder) -> Iterator[TestClient]:
    with TestClient(create_app(pupil, teaching=True)) as client:
        yield client


def post(client: TestClient, path: str, picture: bytes = CUP, **fields: str) -> tuple[int, dict]:
    answer = client.post(path, files={"image": picture}, data=fields)
    return answer.status_code, answer.json()


def test_a_name_that_was_taught_is_found(client: TestClient) -> None:
    assert not post(client, "/v1/ground", phrases="the zorbl")[1]["results"][0]["found"]
    status, answer = post(client, teach.PATH, name="zorbl", box=BOX)
    assert (status, answer) == (200, {"name": "zorbl", "examples": 1, "absent": 0})
    assert post(client, "/v1/ground", phrases="the zorbl")[1]["results"][0]["found"]
    windmill = (PICTURES / "windmill.jpg").read_bytes()
    status, answer = post(client, teach.PATH, windmill, name="zorbl")
    assert (status, answer["examples"], answer["absent"]) == (200, 1, 1)


@pytest.mark.parametrize(
    ("fields", "picture", "status", "error"),
    [
        ({"name": "zorbl", "box": "1,2,3"}, CUP, 422, "ArgumentError"),
        ({"name": "zorbl", "box": "a,b,c,d"}, CUP, 400, "RequestError"),
        ({"name": "zorbl", "box": "0,0,99999,1"}, CUP, 422, "ArgumentError"),
        ({"name": "zorbl"}, CUP, 422, "ArgumentError"),
        ({"name": " ", "box": BOX}, CUP, 422, "PhraseError"),
        ({"name": "zorbl", "box": BOX}, b"no picture", 422, "FrameError"),
        ({"box": BOX}, CUP, 400, "RequestError"),
        ({"name": "zorbl", "box": BOX, "more": "x"}, CUP, 400, "RequestError"),
    ],
)
def test_bad_examples_are_refused(
    client: TestClient,
    pupil: Grounder,
    fields: dict[str, str],
    picture: bytes,
    status: int,
    error: str,
) -> None:
    got, answer = post(client, teach.PATH, picture, **fields)
    assert (got, answer["error"]) == (status, error)
    assert pupil.lessons == ()


def test_no_more_is_kept_than_there_is_room_for(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teach, "MOST_EXAMPLES", 1)
    assert post(client, teach.PATH, name="zorbl", box=BOX)[0] == 200
    status, answer = post(client, teach.PATH, name="zorbl", box=BOX)
    assert status == 400 and "at most 1 examples" in answer["message"]


def test_a_server_teaches_only_where_it_was_told_to(pupil: Grounder) -> None:
    with TestClient(create_app(pupil)) as client:
        assert post(client, teach.PATH, name="zorbl", box=BOX)[0] == 404
    with TestClient(create_app(pupil, teaching=True, token="a" * 32)) as client:
        assert post(client, teach.PATH, name="zorbl", box=BOX)[0] == 401
    assert pupil.lessons == ()
