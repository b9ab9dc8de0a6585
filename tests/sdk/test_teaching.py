"""Teaching the default bundle: a name is learned, everything else stays as it was."""

import gc
import shutil
import weakref
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import ArgumentError, ClosedError, FrameError, Grounder, Lesson, LessonError, PhraseError
from sdk.bundle import DEFAULT_BUNDLE
from sdk.lessons.teacher import Example
from sdk.results import Grounding
from sdk.teaching import MOST_SHOWN, Shown, latest
from tests.pupils import CUP, PICTURES
from tests.pupils import CUP_BOX as BOX

pytest_plugins = ["tests.pupils"]

NAME = "zorbl"
PHRASES = ["the flower", "a person", "the fish on the left", "two fish"]
Frame = NDArray[np.uint8]


def picture(name: str) -> Frame:
    return read(PICTURES / f"{name}.jpg")


def read(path: Path) -> Frame:
    frame = cv2.imread(str(path))
    assert frame is not None
    return frame.astype(np.uint8)


def moved(frame: Frame) -> tuple[Frame, tuple[int, int, int, int]]:
    """The cup a moment later: elsewhere in the frame, and in less light."""
    dark = (0.8 * frame[:-20, 30:]).astype(np.uint8)
    return dark, (BOX[0] - 30, BOX[1], BOX[2] - 30, BOX[3])


@pytest.fixture(scope="module")
def cup() -> Frame:
    return read(CUP)


def shows_the_cup(result: Grounding) -> bool:
    left, top = np.maximum(result.box[:2], BOX[:2])
    right, bottom = np.minimum(result.box[2:], BOX[2:])
    inside = max(0, right - left) * max(0, bottom - top)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (BOX, result.box)]
    return bool(inside / (sum(areas) - inside) >= 0.5)


def test_one_example_is_enough_to_find_it_again(pupil: Grounder, cup: Frame) -> None:
    before = pupil.ground(cup, f"the {NAME}")
    assert not before.found and before.unknown_words == (NAME,)
    lesson = pupil.remember(NAME, *moved(cup))
    assert lesson.figures.examples == 1 and pupil.lessons == (lesson,)
    after = pupil.ground(cup, f"the {NAME}")
    assert after.found and shows_the_cup(after) and not after.unknown_words


def test_more_examples_sharpen_a_lesson(pupil: Grounder) -> None:
    shelf, box = picture("shelf"), (119, 334, 201, 435)  # see benchmarks/askings.json
    pupil.remember(NAME, (0.8 * shelf[:-20, 30:]).astype(np.uint8), (89, 334, 171, 435))
    once = pupil.ground(shelf, NAME)
    pupil.remember(NAME, shelf, box)
    lesson = pupil.remember(NAME, picture("windmill"), None)
    assert (lesson.figures.examples, lesson.figures.absent) == (2, 1)
    assert pupil.lessons == (lesson,)
    assert pupil.ground(shelf, NAME).score > once.score
    assert not pupil.ground(picture("windmill"), NAME).found


def test_what_another_grounder_was_taught_is_taken_over_with_its_examples(
    pupil: Grounder, cup: Frame
) -> None:
    with Grounder.load(device="cpu", threads=1) as other:
        other.remember(NAME, *moved(cup))
        pupil.remember("wug", cup, BOX)
        pupil.learn_from(other)
        assert [lesson.name for lesson in pupil.lessons] == ["wug", NAME]
        assert pupil.ground(cup, NAME).box == other.ground(cup, NAME).box
    assert pupil.remember(NAME, cup, BOX).figures.examples == 2


def test_every_other_phrase_is_answered_as_before_to_the_last_bit(
    pupil: Grounder, cup: Frame
) -> None:
    frames = [cup, picture("perch")]
    before = [pupil.ground(frame, PHRASES, alternatives=3) for frame in frames]
    pupil.teach(NAME, [moved(cup), (picture("windmill"), None)])
    for frame, wanted in zip(frames, before, strict=True):
        together = pupil.ground(frame, [*PHRASES, NAME], alternatives=3)
        assert pupil.ground(frame, PHRASES, alternatives=3) == wanted
        assert together[:-1] == pupil.ground(frame, [*PHRASES, "the dog"], alternatives=3)[:-1]


def test_a_lesson_is_a_small_file_that_means_the_same_elsewhere(
    pupil: Grounder, cup: Frame, tmp_path: Path
) -> None:
    lesson = pupil.teach(NAME, [moved(cup), (cup, BOX)])
    lesson.save(tmp_path / "cup.delta")
    assert (tmp_path / "cup.delta").stat().st_size < 2_000_000
    with Grounder.load(device="cpu", threads=1, deltas=[tmp_path / "cup.delta"]) as other:
        assert other.ground(cup, NAME) == pupil.ground(cup, NAME)
        with pytest.raises(LessonError, match="taught already"):
            other.apply(lesson)
        other.remove(NAME.upper())
        assert other.lessons == () and not other.ground(cup, NAME).found
        with pytest.raises(LessonError, match="expected a name that is taught"):
            other.remove(NAME)


def test_a_lesson_of_another_model_is_refused(pupil: Grounder, cup: Frame) -> None:
    lesson = pupil.remember(NAME, cup, BOX)
    pupil.remove(NAME)
    with pytest.raises(LessonError, match="was taught to the model 0123"):
        pupil.apply(replace(lesson, model="0123" * 16))
    with pytest.raises(LessonError, match="weights, got"):
        pupil.apply(replace(lesson, weights=lesson.weights[:-1]))
    assert pupil.lessons == ()


def test_what_finds_less_than_the_untaught_name_changes_nothing(
    pupil: Grounder, cup: Frame
) -> None:
    found = pupil.ground(cup, "cup")
    assert found.box is not None
    examples = [(cup, (0, 0, 40, 30)), (cup, (0, 300, 40, 330)), (cup, tuple(found.box))]
    with pytest.raises(LessonError, match="'cup' stays as it is"):
        pupil.teach("cup", examples)
    assert pupil.lessons == () and pupil.ground(cup, "cup") == found
    assert pupil.teach("cup", examples, even_if_worse=True) in pupil.lessons


def test_names_that_no_text_encoder_reads_can_be_taught(pupil: Grounder, cup: Frame) -> None:
    for name in ("pallet B7", "蜂"):
        pupil.remember(name, *moved(cup))
        result = pupil.ground(cup, f"the {name}")
        assert result.found and shows_the_cup(result) and result.text == f"the {name}"


def test_bad_examples_are_refused_and_nothing_is_learned(pupil: Grounder, cup: Frame) -> None:
    for box in (
        (10, 10, 10, 20),
        (10, 10, 12, 90),
        (0, 0, 9999, 10),
        (0, 0, 1),
        "abcd",
        (float("nan"),) * 4,
    ):
        with pytest.raises(ArgumentError, match="expected a box"):
            pupil.remember(NAME, cup, box)  # type: ignore[arg-type]
    for examples in ([], [(cup, None)]):
        with pytest.raises(ArgumentError, match="expected an example with a box"):
            pupil.teach(NAME, examples)
    with pytest.raises(ArgumentError, match="pairs"):
        pupil.teach(NAME, [(cup,)])  # type: ignore[list-item]
    for name in (" ", "two", "on the left"):
        with pytest.raises(PhraseError):
            pupil.teach(name, [(cup, BOX)])
    with pytest.raises(FrameError):
        pupil.remember(NAME, "none.jpg", BOX)
    assert pupil.lessons == ()


def test_a_bundle_without_the_file_cannot_be_taught(grounder: Grounder, frame: Frame) -> None:
    with pytest.raises(LessonError, match="cannot be taught"):
        grounder.remember(NAME, frame, (0, 0, 10, 10))


def test_a_damaged_teaching_file_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, bundle)
    file = bundle / "teaching.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Exception, match="sha256"):
        Grounder.load(bundle, device="cpu", threads=1)


def test_a_running_stream_takes_a_lesson(pupil: Grounder, cup: Frame) -> None:
    still = (cup for _ in count())
    with pupil.stream(still, NAME, tracking=None, policy="all") as stream:
        assert not next(stream).results[0].found
        pupil.remember(NAME, *moved(cup))
        assert any(next(stream).results[0].found for _ in range(10))
        pupil.remove(f"the {NAME}")
        assert any(not next(stream).results[0].found for _ in range(10))


def test_a_stream_outlives_a_lesson_whose_name_nothing_else_reads(
    pupil: Grounder, cup: Frame
) -> None:
    pupil.remember("蜂", cup, BOX)
    still = (cup for _ in count())
    with pupil.stream(still, ["蜂", "the cup"], tracking=None, policy="all") as stream:
        assert next(stream).results[0].found
        pupil.remove("蜂")
        assert all(len(next(stream).results) == 2 for _ in range(10))


def test_a_closed_grounder_learns_nothing_and_lets_go_of_its_graphs(cup: Frame) -> None:
    closing = Grounder.load(device="cpu", threads=1)
    closing.remember(NAME, cup, BOX)
    graph = weakref.ref(closing.sessions["fusion"])
    closing.close()
    gc.disable()
    try:
        assert graph() is None
    finally:
        gc.enable()
    for call in (lambda: closing.lessons, lambda: closing.remember(NAME, cup, BOX)):
        with pytest.raises(ClosedError):
            call()


def test_twenty_lessons_do_not_change_each_other(pupil: Grounder, cup: Frame) -> None:
    lesson = pupil.remember(NAME, cup, BOX)
    before = pupil.ground(cup, NAME)
    for number in range(20):
        pupil.apply(replace(lesson, name=f"thing {number}", bias=float(number)))
    assert pupil.ground(cup, NAME) == before
    low, high = pupil.ground(cup, ["thing 1", "thing 10"])
    assert low.score < high.score and len(pupil.lessons) == 21
    assert isinstance(lesson, Lesson)


def test_an_interrupted_lesson_leaves_the_old_state(
    pupil: Grounder, cup: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = pupil.remember(NAME, *moved(cup))
    before = pupil.ground(cup, NAME)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sdk.lessons.teacher.fit_logistic", interrupted)
        for learn in (
            lambda: pupil.remember(NAME, cup, BOX),
            lambda: pupil.teach(NAME, [(cup, BOX)]),
        ):
            with pytest.raises(KeyboardInterrupt):
                learn()
    assert pupil.lessons == (lesson,) and pupil.ground(cup, NAME) == before
    assert pupil.remember(NAME, cup, BOX).figures.examples == 2  # what failed is not kept


def test_of_many_frames_without_the_thing_the_last_box_stays() -> None:
    box, nothing = (Shown(Example(None, box), right=False) for box in ((0, 0, 1, 1), None))
    assert latest([nothing, box, *[nothing] * MOST_SHOWN]) == [box, *[nothing] * (MOST_SHOWN - 1)]
    assert latest([box, *[nothing] * 3, box]) == [box, *[nothing] * 3, box]
    assert latest([]) == []


def test_an_example_that_cannot_be_used_is_named(pupil: Grounder, cup: Frame) -> None:
    with pytest.raises(ArgumentError, match=r"examples\[1\]: expected a box"):
        pupil.teach(NAME, [(cup, BOX), (cup, (0, 0, 9000, 9))])
    with pytest.raises(ArgumentError, match="other: expected a Grounder, got 'x'"):
        pupil.learn_from("x")  # type: ignore[arg-type]
    assert pupil.lessons == ()


def test_a_name_keeps_none_of_its_articles(pupil: Grounder, cup: Frame) -> None:
    for _ in range(2):
        pupil.remember("the A Team", cup, BOX)
    assert [lesson.name for lesson in pupil.lessons] == ["Team"]
    pupil.remove("the A Team")
    assert pupil.lessons == ()
