"""What is too small in the whole frame is found in a part of it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import ArgumentError, Grounder, Grounding
from sdk.backends.session import Session
from sdk.bundle.contract import VISION
from sdk.detail import agreed
from sdk.geometry.boxes import iou_xyxy
from sdk.results import Place
from tests.paths import ROOT

CAT_BOX = (1500, 700, 1700, 833)
FAR = (500, 500, 530, 530)


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


def test_both_looks_must_agree() -> None:
    first = Grounding("the cat", (10, 10, 30, 30), 0.6, True, alternatives=(Place(FAR, 0.1),))
    closer = Grounding("the cat", (10, 10, 32, 30), 0.9, True)
    both = agreed(first, closer)
    assert 0.6 < both.score < 0.9 and both.found
    assert both.box == closer.box == both.instances[0].box
    assert both.alternatives == first.alternatives
    assert agreed(first, replace(closer, box=FAR, instances=())).score == 0.0
    assert agreed(first, replace(closer, score=0.01)).score < 0.3


def test_others_that_a_part_shows_stay_with_the_one_looked_at_again() -> None:
    cats = (Place((10, 10, 30, 30), 0.8), Place(FAR, 0.7))
    first = Grounding("the cats", cats[0].box, 0.8, True, cats)
    both = agreed(first, Grounding("the cats", (11, 10, 30, 30), 0.8, True))
    assert [place.box for place in both.instances] == [(11, 10, 30, 30), FAR]


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
