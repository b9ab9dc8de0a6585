"""Eight threads that share one Grounder get, to the last bit, what one thread gets."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from sdk import Grounder, Grounding, PhraseError
from sdk.inputs.frames import as_bgr
from tests.paths import ROOT
from tests.waiting import WAIT

ASSETS = ROOT / "apps" / "assets"
THREADS = 8
ASKED_BEFORE = ["the cat", "the woman on the left"]
NEW = ["a moose", "teh dog", "the flag behind the woman"]
UNUSABLE = ["\U00010300", "???", ""]
"""Letters that the model knows no word of, no letters, nothing."""
REGION = (40, 30, 260, 280)
TINY_PHRASES = ["the dog", "a man in a red shirt", "cat"]
"""Of the words that the tiny bundle knows."""

Outcome = list[Grounding] | str
Question = Callable[[Grounder], Outcome]


@cache
def photo(name: str) -> NDArray[np.uint8]:
    return as_bgr(ASSETS / f"{name}.jpg")


def questions() -> list[Question]:
    """One and several phrases, alternatives, regions and views, on several frames."""

    def asking(name: str, text: str | list[str], alternatives: int, whole: bool) -> Question:
        region = None if whole else REGION

        def ask(grounder: Grounder) -> Outcome:
            found = grounder.ground(photo(name), text, alternatives=alternatives, region=region)
            return found if isinstance(found, list) else [found]

        return ask

    def viewing(name: str, texts: list[str]) -> Question:
        def ask(grounder: Grounder) -> Outcome:
            with grounder.encode(photo(name)) as view:
                return [view.ground(text) for text in texts]

        return ask

    names, both = ["cat", "astronaut"], [*NEW, *ASKED_BEFORE]
    texts = [*both, *UNUSABLE, [NEW[0], UNUSABLE[0]]]
    return [
        *(asking(name, text, 0, whole=True) for name, text in product(names, texts)),
        *(asking(name, both, 3, whole) for name, whole in product(names, [True, False])),
        *(viewing(name, both) for name in names),
    ]


def outcome(question: Question, grounder: Grounder) -> Outcome:
    try:
        return question(grounder)
    except PhraseError as error:
        return str(error)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_get_what_one_thread_gets(threads: int) -> None:
    asked = questions()
    alone = Grounder.load(device="cpu", threads=threads)
    expected = [outcome(question, alone) for question in asked]
    assert {type(one) for one in expected} == {list, str}

    shared = Grounder.load(device="cpu", threads=threads)
    for phrase in ASKED_BEFORE:
        shared.ground(photo("moose"), phrase)
    together = threading.Barrier(THREADS)

    def work(seed: int) -> None:
        order = list(range(len(asked)))
        Random(seed // 2).shuffle(order)  # every two threads ask the same at the same time
        together.wait(60)
        for index in order:
            assert outcome(asked[index], shared) == expected[index]

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, seed) for seed in range(THREADS)]:
            done.result(WAIT)


def test_threads_get_their_own_frames_from_a_small_bundle(
    tiny_bundle: Path, frame: NDArray[np.uint8]
) -> None:
    grounder = Grounder.load(tiny_bundle, device="cpu", threads=1)
    frames = [np.ascontiguousarray(np.roll(frame, shift, axis=1)) for shift in range(0, 200, 5)]
    alone = [grounder.ground(each, TINY_PHRASES) for each in frames]
    tokens = [grounder.encode(each).visual_tokens for each in frames]
    start = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        start.wait(60)
        for step in range(len(frames)):
            index = (step + 5 * thread) % len(frames)
            assert grounder.ground(frames[index], TINY_PHRASES) == alone[index]
            assert_array_equal(grounder.encode(frames[index]).visual_tokens, tokens[index])

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(work, thread) for thread in range(THREADS)]:
            future.result(60)
