"""The server's queue: what is answered together, what waits, what is refused."""

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from random import Random
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import Grounder
from sdk.inputs.frames import Region
from sdk.server import Limits
from sdk.server.batcher import Batcher, Question
from sdk.server.errors import BusyError
from sdk.server.metrics import Metrics
from tests.serving import (
    PHRASES,
    UNKNOWN,
    Watch,
    ask,
    assert_refused,
    assert_same,
    metric,
    png,
    results_of,
    serving,
    wait_until,
)
from tests.waiting import WAIT

pytest_plugins = ["tests.serving"]


def test_waiting_requests_for_one_frame_share_a_vision_pass_and_a_fusion_call(
    server: str, watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    questions = [["the dog"], ["cat", "the dog"], ["a man in a red shirt"]]
    watch.gate.clear()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, server, png(frame[::-1]), ["cat"])
        wait_until(lambda: watch.runs["vision"] == 1)
        waiting = [pool.submit(ask, server, png(frame), asked) for asked in questions]
        wait_until(lambda: metric(server, "grounder_requests_waiting") == 3)
        watch.gate.set()
        assert other.result(WAIT).json()["batch"] == 1
        answers = [one.result(WAIT) for one in waiting]
    assert [answer.json()["batch"] for answer in answers] == [3, 3, 3]
    assert (watch.runs["vision"], watch.runs["fusion"]) == (2, 2)
    assert metric(server, "grounder_phrases_total") == 1 + 3  # "the dog" once
    assert_same(results_of(other.result(WAIT)), [watched_grounder.ground(frame[::-1], "cat")])
    for answer, asked in zip(answers, questions, strict=True):
        assert_same(results_of(answer), watched_grounder.ground(frame, asked))


def test_waiting_requests_for_other_numbers_of_alternatives_share_a_fusion_call(
    server: str, watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    numbers = [0, 3, 1]
    watch.gate.clear()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, server, png(frame[::-1]), ["cat"])
        wait_until(lambda: watch.runs["vision"] == 1)
        waiting = [
            pool.submit(ask, server, png(frame), ["the dog"], alternatives=number)
            for number in numbers
        ]
        wait_until(lambda: metric(server, "grounder_requests_waiting") == 3)
        watch.gate.set()
        assert other.result(WAIT).status_code == 200
        answers = [one.result(WAIT) for one in waiting]
    assert [answer.json()["batch"] for answer in answers] == [3, 3, 3]
    assert (watch.runs["vision"], watch.runs["fusion"]) == (2, 2)
    for answer, number in zip(answers, numbers, strict=True):
        expected = watched_grounder.ground(frame, "the dog", alternatives=number)
        assert len(expected.alternatives) == number
        assert_same(results_of(answer), [expected])


def test_waiting_requests_for_other_regions_have_a_vision_pass_each(
    server: str, watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    regions = [None, (10, 20, 90, 100), (100, 20, 180, 100), (10, 20, 90, 100)]
    watch.gate.clear()
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, server, png(frame[::-1]), ["cat"])
        wait_until(lambda: watch.runs["vision"] == 1)
        waiting = [
            pool.submit(ask, server, png(frame), ["the dog"], **in_a_form(region))
            for region in regions
        ]
        wait_until(lambda: metric(server, "grounder_requests_waiting") == 4)
        watch.gate.set()
        assert other.result(WAIT).status_code == 200
        answers = [one.result(WAIT) for one in waiting]
    assert sorted(answer.json()["batch"] for answer in answers) == [1, 1, 2, 2]
    assert (watch.runs["vision"], watch.runs["fusion"]) == (1 + 3, 1 + 3)
    for answer, region in zip(answers, regions, strict=True):
        assert answer.json()["size_wh"] == [200, 120]
        assert_same(results_of(answer), [watched_grounder.ground(frame, "the dog", region=region)])


def in_a_form(region: Region | None) -> dict[str, str]:
    return {} if region is None else {"region": ",".join(map(str, region))}


def test_clients_that_differ_in_everything_get_their_own_answers(
    server: str, watched_grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    frames = [frame, frame[:, ::-1]]
    regions = [None, (10, 20, 90, 100), (100, 20, 300, 100)]
    cases = list(product(range(2), regions, [0, 2, 5], PHRASES))
    expected = [
        watched_grounder.ground(frames[which], [phrase], alternatives=number, region=region)
        for which, region, number, phrase in cases
    ]
    Random(0).shuffle(order := list(range(len(cases))))
    pictures = [png(one) for one in frames]

    def put(index: int) -> httpx.Response:
        which, region, number, phrase = cases[index]
        settings = {"alternatives": number, **in_a_form(region)}
        return ask(server, pictures[which], [phrase], **settings)

    with ThreadPoolExecutor(12) as pool:
        answers = dict(zip(order, pool.map(put, order), strict=True))
    for index, response in answers.items():
        assert_same(results_of(response), expected[index])


def test_a_bad_phrase_fails_its_own_request_alone(
    server: str, watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, server, png(frame[::-1]), ["cat"])
        wait_until(lambda: watch.runs["vision"] == 1)
        good = pool.submit(ask, server, png(frame), ["the dog"])
        bad = pool.submit(ask, server, png(frame), [UNKNOWN])
        wait_until(lambda: metric(server, "grounder_requests_waiting") == 2)
        watch.gate.set()
        assert first.result(WAIT).status_code == 200
    assert_refused(bad.result(WAIT), 422, "PhraseError", "expected words the text encoder knows")
    assert watch.runs["vision"] == 2
    assert_same(results_of(good.result(WAIT)), [watched_grounder.ground(frame, "the dog")])


def test_the_last_frames_stay_encoded(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    here, there, elsewhere = png(frame), png(frame[::-1]), png(frame[:, ::-1])
    with serving(watched_grounder, Limits(frames=2)) as address:
        for image in (here, there, here, elsewhere, here):  # `there` is the one to go
            assert ask(address, image, ["cat"]).status_code == 200
        assert watch.runs["vision"] == 3 == metric(address, "grounder_frames_encoded_total")
        assert ask(address, there, ["cat"]).status_code == 200
        assert watch.runs["vision"] == 4
        for _ in range(2):  # a region takes a place as a frame does
            assert ask(address, there, ["cat"], region="0,0,90,90").status_code == 200
        assert watch.runs["vision"] == 5
        assert ask(address, there, ["cat"]).status_code == 200
        assert watch.runs["vision"] == 5
        assert ask(address, here, ["cat"]).status_code == 200
    assert watch.runs["vision"] == 6


def test_a_full_queue_refuses(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    with serving(watched_grounder, Limits(queue=2)) as address, ThreadPoolExecutor() as pool:
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
        assert [one.result(WAIT).status_code for one in pending] == [200, 200, 200]
        assert metric(address, 'grounder_requests_total{status="503"}') == 2


def test_the_queue_itself_is_bounded(watched_grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    """Many requests may pass the server's first look before one of them is in the queue."""
    batcher = Batcher(watched_grounder, Limits(queue=1), Metrics())
    waiting = batcher.submit(Question(png(frame), ["cat"]))
    with pytest.raises(BusyError, match="expected at most 1 requests to wait"):
        batcher.submit(Question(png(frame), ["cat"]))
    batcher.close()
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(0)


def test_an_answer_that_takes_too_long_is_given_up(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    with serving(watched_grounder, Limits(seconds=0.3)) as address:
        for _ in range(2):  # the second one waits in the queue, and is dropped from it
            refused = ask(address, png(frame), ["cat"])
            assert_refused(refused, 503, "BusyError", "expected an answer within 0.3 s")
        watch.gate.set()
        wait_until(lambda: metric(address, "grounder_requests_waiting") == 0)
        assert ask(address, png(frame), ["the dog"]).status_code == 200
    assert watch.runs["fusion"] == 2  # the first request's, too late, and the third's


def test_stopping_finishes_what_runs_and_refuses_what_waits(
    watched_grounder: Grounder, watch: Watch, frame: NDArray[np.uint8]
) -> None:
    watch.gate.clear()
    batcher = Batcher(watched_grounder, Limits(), Metrics())
    batcher.start()
    running = batcher.submit(Question(png(frame), ["cat"]))
    wait_until(lambda: watch.runs["vision"] == 1)
    waiting = batcher.submit(Question(png(frame), ["the dog"]))
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(batcher.close)
        wait_until(lambda: _refuses(batcher, png(frame)))
        watch.gate.set()
        stopped.result(30)
    assert running.result(0).results[0].text == "cat"
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(0)
    assert not batcher.alive


def _refuses(batcher: Batcher, image: bytes) -> bool:
    try:
        future: Future[Any] = batcher.submit(Question(image, ["cat"]))
    except BusyError:
        return True
    future.cancel()
    return False
