"""The public API on a real (tiny) bundle: what it answers, from which input, at what cost."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import sdk.backends.select
import sdk.frame_view
import sdk.loading
import sdk.text
from sdk import FrameError, Grounder, Grounding, PhraseError
from sdk.backends.select import open_session
from sdk.backends.session import Session
from sdk.geometry.decode import vote
from tests.tiny_bundle import PHRASES


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each graph ran, counted on the real sessions of every Grounder loaded later."""
    counter: Counter[str] = Counter()

    class CountingSession:
        def __init__(self, session: Session, graph: str) -> None:
            self.device, self.inputs, self.outputs = session.device, session.inputs, session.outputs
            self._session, self._graph = session, graph

        def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            counter[self._graph] += 1
            return self._session.run(inputs)

    def open_counting(path: Path, device: str, threads: int | None) -> CountingSession:
        return CountingSession(open_session(path, device, threads), path.name.split(".")[0])

    monkeypatch.setattr(sdk.backends.select, "open_session", open_counting)
    return counter


def expected_grounding(folder: Path, frame: NDArray[np.uint8], ids: list[int]) -> Grounding:
    """The tiny bundle's graphs once more, in NumPy."""
    weights = {
        name: onnx.numpy_helper.to_array(onnx.load(folder / f"{name}.onnx").graph.initializer[-1])
        for name in ("vision", "text", "fusion")
    }
    small = cv2.resize(frame, (48, 32), interpolation=cv2.INTER_AREA)[..., ::-1]
    image = (small - np.array([123, 117, 104])) / np.array([58, 57, 57])
    pooled = image.reshape(4, 8, 6, 8, 3).mean(axis=(1, 3)).reshape(24, 3)
    joint = np.tanh(pooled @ weights["vision"]) * weights["text"][ids].mean(axis=0)
    logits = joint.sum(axis=1)
    boxes = 1 / (1 + np.exp(-joint @ weights["fusion"]))
    cx, cy, w, h = vote(boxes, logits, int(logits.argmax()))
    edges = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]).clip(0, 1)
    left, top, right, bottom = (edges * (200, 120, 200, 120)).tolist()
    score = 1 / (1 + np.exp(4 - 4 * logits.max()))
    return Grounding("", (left, top, right, bottom), score, bool(score >= 0.5))


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_whole_path_against_numpy(
    tiny_bundle: Path, grounder: Grounder, frame: NDArray[np.uint8], phrase: str
) -> None:
    result = grounder.ground(frame, phrase)
    expected = expected_grounding(tiny_bundle, frame, grounder._reader.tokenizer.encode(phrase))
    assert_allclose(result.box, expected.box, atol=1e-3)
    assert result.score == pytest.approx(expected.score, abs=1e-5)
    assert (result.text, result.found) == (phrase, expected.found)


def test_result_types(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    result = grounder.ground(frame, "the dog")
    assert [type(edge) for edge in result.box] == [float] * 4
    assert (type(result.score), type(result.found)) == (float, bool)
    assert result.to_dict() == {
        "text": "the dog",
        "box": list(result.box),
        "score": result.score,
        "found": result.found,
        "instances": [place.to_dict() for place in result.instances],
    }


def test_found_is_the_threshold(
    tiny_bundle: Path, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    results = grounder.ground(frame, PHRASES)
    assert {result.found for result in results} == {True, False}
    assert all(result.found == (result.score >= 0.5) for result in results)


def test_a_list_equals_single_calls(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    phrases = [*PHRASES, PHRASES[0]]
    together = grounder.ground(frame, phrases)
    alone = [grounder.ground(frame, phrase) for phrase in phrases]
    assert [result.text for result in together] == phrases
    assert_allclose([r.box for r in together], [r.box for r in alone], rtol=1e-5)
    assert_allclose([r.score for r in together], [r.score for r in alone], rtol=1e-5)
    assert len({result.box for result in alone}) == len(PHRASES)  # the phrase matters
    assert grounder.ground(frame, ["the dog"]) == [grounder.ground(frame, "the dog")]
    assert grounder.ground(frame, tuple(phrases)) == together


def test_more_phrases_than_one_fusion_call_takes(
    monkeypatch: pytest.MonkeyPatch, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    together = grounder.ground(frame, PHRASES)
    monkeypatch.setattr(sdk.frame_view, "PHRASES_PER_CALL", 3)
    split = grounder.ground(frame, PHRASES)
    assert_allclose([r.box for r in split], [r.box for r in together], rtol=1e-5)
    assert [r.text for r in split] == PHRASES


def test_cached_and_uncached_phrases_give_equal_results(
    tiny_bundle: Path, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    uncached = grounder.ground(frame, PHRASES)
    cached = grounder.ground(frame, PHRASES)
    fresh = [Grounder.load(tiny_bundle).ground(frame, phrase) for phrase in PHRASES]
    assert cached == uncached
    assert [grounder.ground(frame, phrase) for phrase in PHRASES] == fresh


def test_each_graph_runs_no_more_than_needed(
    tiny_bundle: Path, frame: NDArray[np.uint8], runs: Counter[str]
) -> None:
    grounder = Grounder.load(tiny_bundle, device="cpu")
    grounder.ground(frame, PHRASES)
    assert runs == {"vision": 1, "text": len(PHRASES), "fusion": 1}
    grounder.ground(frame, PHRASES)
    assert runs == {"vision": 2, "text": len(PHRASES), "fusion": 2}
    with grounder.encode(frame) as view:
        for phrase in PHRASES:
            view.ground(phrase)
    assert runs == {"vision": 3, "text": len(PHRASES), "fusion": 2 + len(PHRASES)}


def test_bad_input_costs_no_vision_pass(
    tiny_bundle: Path, frame: NDArray[np.uint8], runs: Counter[str]
) -> None:
    grounder = Grounder.load(tiny_bundle, device="cpu")
    with pytest.raises(PhraseError):
        grounder.ground(frame, ["the dog", " "])
    with pytest.raises(FrameError):
        grounder.ground(frame.astype(float), "the dog")
    assert runs["vision"] == runs["fusion"] == 0


def test_the_phrase_cache_is_bounded(
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    frame: NDArray[np.uint8],
    runs: Counter[str],
) -> None:
    monkeypatch.setattr(sdk.loading, "PHRASE_CACHE_SIZE", 2)
    view = Grounder.load(tiny_bundle, device="cpu").encode(frame)
    for phrase, encoded in [("dog", 1), ("cat", 2), ("dog", 2), ("man", 3), ("dog", 3), ("cat", 4)]:
        view.ground(phrase)
        assert runs["text"] == encoded


def test_visual_features_do_not_depend_on_the_phrase(
    grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    before = grounder.encode(frame)
    bits = before.visual_tokens.tobytes()
    for phrase in PHRASES:
        before.ground(phrase)
        grounder.ground(frame, phrase)
        assert before.visual_tokens.tobytes() == bits
    assert grounder.encode(frame).visual_tokens.tobytes() == bits
    with pytest.raises(ValueError, match="read-only"):
        before.visual_tokens[0] = 0


def test_a_view_gives_what_ground_gives(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    view = grounder.encode(frame)
    other = grounder.encode(frame[:, ::-1])
    assert view.size_wh == (200, 120)
    assert view.ground(PHRASES) == grounder.ground(frame, PHRASES)
    assert view.ground("cat") == grounder.ground(frame, "cat")
    assert other.ground("cat") != view.ground("cat")


def test_a_closed_view(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    with grounder.encode(frame) as view:
        view.ground("cat")
    with pytest.raises(FrameError, match="encode the frame again"):
        view.ground("cat")


def test_array_path_and_pil_image_agree(
    grounder: Grounder, tmp_path: Path, frame: NDArray[np.uint8]
) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), frame)
    expected = grounder.ground(frame, "cat")
    for other in (path, str(path), image.open(path)):
        assert grounder.ground(other, "cat") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        (b"dog", "got bytes"),
        ({"dog"}, "got set"),
        ([], "empty list"),
        (["dog", None], "phrase 1: expected a string, got NoneType"),
        ("", "no letter or digit"),
        (" \t\n", "no letter or digit"),
        (["dog", "?!"], "phrase 1: .*no letter or digit"),
        ("😀", "no letter or digit"),
        ("x" * 1001, "at most 1000 characters, got 1001"),
        ("dog " * 23, "at most 24 tokens, got 25"),
        ("γάτα", "words the text encoder knows"),
    ],
)
def test_bad_phrases(grounder: Grounder, frame: NDArray[np.uint8], text: Any, message: str) -> None:
    with pytest.raises(PhraseError, match=message):
        grounder.ground(frame, text)
    with pytest.raises(PhraseError, match=message):
        grounder.encode(frame).ground(text)


@pytest.mark.parametrize("bad", [None, "nowhere.jpg", np.zeros((20, 20, 4), np.uint8)])
def test_bad_frames(grounder: Grounder, bad: Any) -> None:
    with pytest.raises(FrameError):
        grounder.ground(bad, "dog")
