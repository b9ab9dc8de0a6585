"""What is too small in the whole frame is found in a part of it."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import ArgumentError, Grounder, Grounding
from sdk.backends.session import Session
from sdk.bundle.contract import VISION
from sdk.bundle.known_words import Unknown
from sdk.detail import Part, agreed, look_closer
from sdk.geometry.boxes import iou_xyxy
from sdk.inputs.phrases import EncodedPhrase
from sdk.results import Box, Place
from tests.paths import ROOT

CAT_BOX = (1500, 700, 1700, 833)
FAR = (500.0, 500.0, 530.0, 530.0)
PHRASE = EncodedPhrase("the cat", np.zeros((2, 3), np.float32), Unknown((), False))


@pytest.fixture(scope="module")
def grounder() -> Grounder:
    """The default."""
    return Grounder.load(device="cpu", threads=1)


@pytest.fixture(scope="module")
def wide() -> NDArray[np.uint8]:
    """1920 x 1080: a windmill, and the cat of the demo in CAT_BOX."""
    frame = cv2.imread(str(ROOT / "benchmarks" / "askings" / "windmill.jpg"))
    cat = cv2.imread(str(ROOT / "apps" / "assets" / "cat.jpg"))
    assert frame is not None and cat is not None
    frame = cv2.resize(frame, (1920, 1080))
    left, top, right, bottom = CAT_BOX
    frame[top:bottom, left:right] = cv2.resize(cat, (right - left, bottom - top))
    return np.asarray(frame, np.uint8)


class Passes:
    """A vision graph that counts its runs."""

    def __init__(self, graph: Session) -> None:
        self._graph, self.count = graph, 0

    def run(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        self.count += 1
        return self._graph.run(inputs)


@pytest.fixture
def passes(grounder: Grounder, monkeypatch: pytest.MonkeyPatch) -> Passes:
    counted = Passes(grounder.sessions[VISION.name])
    monkeypatch.setitem(grounder.sessions, VISION.name, counted)
    return counted


def test_a_small_thing_is_found_in_its_place(grounder: Grounder, wide: NDArray[np.uint8]) -> None:
    assert not grounder.ground(wide, "the cat").found
    cat = grounder.ground(wide, "the cat", detail=4)
    assert cat.found
    assert iou_xyxy([cat.box], [CAT_BOX])[0, 0] > 0.7
    assert cat.instances[0].box == cat.box


def test_what_the_whole_shows_is_not_looked_for_in_parts(
    grounder: Grounder, passes: Passes
) -> None:
    cat = ROOT / "apps" / "assets" / "cat.jpg"
    whole = grounder.ground(cat, "the cat")
    assert whole.found
    assert grounder.ground(cat, "the cat", detail=3) == whole
    assert passes.count == 2, "one for each call"


def test_a_thing_of_an_unknown_word_is_not_looked_for(
    grounder: Grounder, wide: NDArray[np.uint8], passes: Passes
) -> None:
    result = grounder.ground(wide, "the xyzzy", detail=3)
    assert not result.found and result.unknown_words == ("xyzzy",)
    assert passes.count == 1


def test_a_part_is_encoded_once_for_all_phrases(
    grounder: Grounder, wide: NDArray[np.uint8], passes: Passes
) -> None:
    frame = wide.copy()
    view = grounder.encode(frame, detail=4)
    assert passes.count == 1, "parts are encoded when they are needed"
    frame[:] = 0  # its owner goes on using it
    first = view.ground("the cat")
    assert passes.count == 1 + 15 + 1, "what a part finds is looked at again"
    again, _ = view.ground(["the cat", "a zebra"])
    assert again.found == first.found and again.box == pytest.approx(first.box, abs=0.01)
    assert again.score == pytest.approx(first.score, abs=1e-5)
    assert passes.count == 1 + 15 + 1 + 1, "parts are kept, second looks are not"
    assert first == grounder.ground(wide, "the cat", detail=4)


NEAR, FIRST = (10.0, 10.0, 32.0, 30.0), (10.0, 10.0, 30.0, 30.0)


def seen(score: float, box: Box = FIRST) -> Grounding:
    return Grounding("the cat", box, score, score >= 0.5)


class Scripted(Part):
    """A part that has been told what it and a closer look at it answer."""

    def __init__(self, first: Grounding, second: Grounding) -> None:
        super().__init__(np.zeros((9, 9, 3), np.uint8), (0, 0, 9, 9), lambda frame: self)
        object.__setattr__(self, "told", (first, second))

    def answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]:
        return len(phrases) * [self.told[0]]  # type: ignore[attr-defined]

    def around(self, box: Box) -> Part:
        return Scripted(self.told[1], self.told[1])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (0.8, 0.9, True),
        (0.95, 0.75, True),
        (0.8, 0.75, False),  # the mean of the logits is under the threshold's and 1.5
        (0.95, 0.1, False),
        (0.45, 0.999, False),  # no part finds it
    ],
)
def test_a_part_and_a_closer_look_must_be_sure(first: float, second: float, found: bool) -> None:
    part = Scripted(seen(first), seen(second, NEAR))
    (answer,) = look_closer([part], [PHRASE], [seen(0.1)], 0, 0.5)
    assert answer.found == found
    assert answer.box == (NEAR if found else FIRST)
    if found:
        assert min(first, second) < answer.score < max(first, second)


def test_a_closer_look_at_something_else_is_no_find() -> None:
    part = Scripted(seen(0.99), seen(0.99, FAR))
    (answer,) = look_closer([part], [PHRASE], [seen(0.1)], 0, 0.5)
    assert not answer.found


def test_the_surest_part_is_looked_at_and_what_the_whole_shows_stays() -> None:
    parts = [Scripted(seen(0.9, FAR), seen(0.99, FAR)), Scripted(seen(0.95), seen(0.99, NEAR))]
    whole = [seen(0.6, FAR), seen(0.1)]
    kept, closer = look_closer(parts, [PHRASE, PHRASE], whole, 0, 0.5)
    assert kept is whole[0] and closer.box == NEAR


def test_other_places_stay_where_the_new_box_does_not_cover_them() -> None:
    covered = (11.0, 10.0, 33.0, 30.0)
    others = (Place(FAR, 0.7), Place(covered, 0.6))
    instances = (Place(FIRST, 0.8), *others)
    first = Grounding("the cats", FIRST, 0.8, True, instances, others)
    both = agreed(first, seen(0.8, NEAR))
    assert both is not None
    assert [place.box for place in both.instances] == [NEAR, FAR]
    assert [place.box for place in both.alternatives] == [FAR]


def test_within_a_region_parts_are_of_the_region(
    grounder: Grounder, wide: NDArray[np.uint8]
) -> None:
    cat = grounder.ground(wide, "the cat", region=(960, 0, 1920, 1080), detail=3)
    assert cat.found
    assert iou_xyxy([cat.box], [CAT_BOX])[0, 0] > 0.7


def test_a_stream_looks_as_close(grounder: Grounder, wide: NDArray[np.uint8]) -> None:
    with grounder.stream([wide], "the cat", tracking=None, detail=4) as stream:
        (seen,) = stream
    assert seen.results == [grounder.ground(wide, "the cat", detail=4)]


@pytest.mark.parametrize("detail", [0, 9, 1.5, "2", True])
def test_what_is_no_detail_is_refused(grounder: Grounder, detail: object) -> None:
    with pytest.raises(ArgumentError, match="detail: expected a whole number from 1 to 8"):
        grounder.ground(np.zeros((50, 50, 3), np.uint8), "the cat", detail=detail)  # type: ignore[call-overload]
