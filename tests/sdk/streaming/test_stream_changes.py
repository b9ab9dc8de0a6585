"""What is asked is changed while a stream runs: the phrases, the grounder, the tracking."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import ArgumentError, Grounder, GroundingError, PhraseError
from sdk._internal.hashing import sha256_file
from sdk.backends.session import Session
from sdk.bundle.manifest import Manifest
from sdk.streaming.tracking import Tracking
from tests.cameras import numbered
from tests.streams import PHRASES

pytest_plugins = ["tests.streams"]
pytestmark = pytest.mark.usefixtures("no_threads_left")


def test_phrases_replaced_while_it_runs(grounder: Grounder) -> None:
    with grounder.stream((numbered(n % 200) for n in count()), ["cat"], every=4) as stream:
        assert [one.text for one in next(stream).results] == ["cat"]
        stream.phrases = ["the dog", "cat"]
        assert stream.phrases == ["the dog", "cat"]
        texts = []
        for result in stream:
            texts.append([one.text for one in result.results])
            assert len(result.fresh) == len(result.track_ids) == len(result.results)
            if texts[-1] == ["the dog", "cat"]:
                break
            assert texts[-1] == ["cat"]
        assert result.number % 4 == 0, "with a grounding"
        with pytest.raises(PhraseError, match="expected words"):
            stream.phrases = ["cat", " "]
        stream.phrases = "the cat"  # type: ignore[assignment]
        assert stream.phrases == ["the cat"]


def test_a_phrase_of_unknown_words_is_refused_and_the_stream_goes_on(grounder: Grounder) -> None:
    with grounder.stream((numbered(n % 200) for n in count()), "cat") as stream:
        next(stream)
        with pytest.raises(PhraseError):
            stream.phrases = ["日本"]
        assert next(stream).results[0].text == "cat"


def test_a_grounder_replaced_while_it_runs(grounder: Grounder, tiny_bundle: Path) -> None:
    other = Grounder.load(tiny_bundle, device="cpu", precision="int8", threads=1)
    frames = (numbered(n % 200) for n in count())
    with grounder.stream(frames, PHRASES, tracking=None) as stream:
        seen = next(stream)
        assert seen.results == grounder.ground(seen.frame, PHRASES)
        assert stream.grounder is grounder
        stream.grounder = other
        assert stream.grounder is other
        for seen in stream:
            if seen.results == other.ground(seen.frame, PHRASES):
                break
            assert seen.results == grounder.ground(seen.frame, PHRASES)
        seen = next(stream)
        assert seen.results == other.ground(seen.frame, PHRASES)


def test_a_grounder_with_another_threshold_begins_new_tracks(grounder: Grounder) -> None:
    sure = replace(grounder.manifest, threshold=0.0)
    frames = (numbered(n % 200) for n in count())
    every = Grounder(sure, grounder._reader, grounder.sessions, "fp32")
    none = Grounder(replace(sure, threshold=1.0), grounder._reader, grounder.sessions, "fp32")
    with none.stream(frames, PHRASES) as stream:
        assert not any(result.found for result in next(stream).results)
        stream.grounder = every
        assert any(all(one.found for one in seen.results) for seen in islice(stream, 50))
        stream.grounder = none
        assert any(not any(one.found for one in seen.results) for seen in islice(stream, 50))


def test_a_grounder_that_cannot_read_the_phrases_is_refused(
    grounder: Grounder, tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "blind")
    vocab = folder / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("dog", "dig").replace("\nd\n", "\nD\n"))
    manifest = replace(Manifest.load(folder), files={"vocab.txt": sha256_file(vocab)})
    manifest.save(folder)
    with grounder.stream((numbered(n % 200) for n in count()), ["dog"]) as stream:
        with pytest.raises(PhraseError):
            stream.grounder = Grounder.load(folder, device="cpu", threads=1)
        assert stream.grounder is grounder
        assert next(stream).results[0].text == "dog"


@pytest.mark.parametrize("given", [None, "default", Grounder])
def test_what_is_no_grounder_is_refused_and_the_stream_goes_on(
    grounder: Grounder, given: object
) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    with grounder.stream([frame] * 3, "the dog") as stream:
        with pytest.raises(ArgumentError, match=r"grounder: expected sdk\.Grounder"):
            stream.grounder = given  # type: ignore[assignment]
        assert len(list(stream)) == 3


@pytest.mark.parametrize("policy", ["all", "newest"])
def test_tracking_switched_while_it_runs(grounder: Grounder, policy: str) -> None:
    frames = (numbered(n % 200) for n in count())
    with grounder.stream(frames, PHRASES, every=3, policy=policy) as stream:
        before = list(islice(stream, 20))
        assert stream.tracking == Tracking()
        assert not all(all(seen.fresh) for seen in before), "some are carried"
        stream.tracking = None
        assert stream.tracking is None
        list(islice(stream, 5))  # of those on their way
        for seen in islice(stream, 10):
            assert seen.fresh == (True,) * 3
            assert seen.results == grounder.ground(seen.frame, PHRASES)
        stream.tracking = Tracking(weight=1.0)
        list(islice(stream, 5))
        again = list(islice(stream, 20))
        assert not all(all(seen.fresh) for seen in again)
        with pytest.raises(GroundingError, match="tracking: expected"):
            stream.tracking = True  # type: ignore[assignment]
        assert stream.tracking == Tracking(weight=1.0)
        numbers = [seen.number for seen in (*before, *again)]
        assert numbers == sorted(set(numbers))


def test_switching_at_the_end_of_a_file_ends_all_the_same(grounder: Grounder, video: Path) -> None:
    numbers = []
    with grounder.stream(video, PHRASES) as stream:
        for seen in stream:
            numbers.append(seen.number)
            stream.tracking = None if stream.tracking else Tracking()
    assert numbers == list(range(20))


class Counting:
    """A session that counts its runs."""

    def __init__(self, session: Session, runs: Counter[str]) -> None:
        self.device, self.inputs, self.outputs = session.device, session.inputs, session.outputs
        self._session, self._runs = session, runs

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self._runs["text"] += 1
        return self._session.run(inputs)


def test_any_number_of_phrases_is_encoded_once(grounder: Grounder) -> None:
    runs: Counter[str] = Counter()
    sessions = {**grounder.sessions, "text": Counting(grounder.sessions["text"], runs)}
    counted = Grounder(grounder.manifest, grounder._reader, sessions, "fp32")
    words = "cat", "dog"
    phrases = [" ".join(words[n >> bit & 1] for bit in range(9)) for n in range(300)]
    assert len(set(phrases)) == 300
    with counted.stream((numbered(n % 200) for n in count()), phrases) as stream:
        assert [one.text for one in next(stream).results] == phrases
        list(islice(stream, 5))
        assert runs["text"] == 300
        stream.grounder = counted  # for another one they are encoded anew
        assert runs["text"] > 300


def test_frames_of_another_size_are_grounded_anew(grounder: Grounder) -> None:
    large = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    small = large[20:80, 30:90].copy()
    with grounder.stream([large, small, small], PHRASES, every=9, policy="all") as stream:
        seen = list(stream)
    for result, frame in zip(seen, (large, small), strict=False):
        expected = grounder.ground(frame, PHRASES)
        assert [r.box for r in result.results] == [pytest.approx(r.box, abs=1) for r in expected]
