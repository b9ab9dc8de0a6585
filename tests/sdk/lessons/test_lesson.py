"""A lesson's name in a phrase, and its file: the one that was written, or refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk import Lesson, LessonError, PhraseError
from sdk.lessons.lesson import MOST_BYTES, Figures, Reading, bare

FIGURES = Figures(examples=10, absent=2, right_before=1, right_left_out=8)


def lesson(name: str, noun: str = "cup") -> Lesson:
    weights = np.arange(5, dtype=np.float32)
    return Lesson(name, noun, weights, -0.5, "ab" * 32, FIGURES)


@pytest.mark.parametrize(
    ("phrase", "read"),
    [
        ("zorbl", "the cup"),
        ("the zorbl on the left", "the cup on the left"),
        ("a ZORBL next to my mug", "the cup next to the bowl"),
        ("this zorbl, please", "the cup, please"),
        ("my  mug", "the bowl"),
        ("the old zorbl", "the old cup"),
        ("two zorbl", "two cup"),
        ("two zorbls by my mugs", "two cups by the bowls"),
        ("the zorbls", "the cups"),
        ("a cre\u0300me zorbl", "a crème cup"),  # with the accent as a sign of its own
    ],
)
def test_a_taught_name_is_read_as_its_noun(phrase: str, read: str) -> None:
    reading = Reading([lesson("zorbl"), lesson("my mug", "bowl")])
    assert reading.of(phrase)[0] == read


def test_what_is_named_first_is_looked_for() -> None:
    zorbl, mug = lesson("zorbl"), lesson("my mug", "bowl")
    reading = Reading([zorbl, mug])
    assert reading.of("my mug behind the zorbl") == ("the bowl behind the cup", mug)
    assert reading.of("the zorbl behind my mug") == ("the cup behind the bowl", zorbl)


@pytest.mark.parametrize(
    "phrase",
    ["the laptop next to my mug", "the cup on the zorbl", "not the zorbl", "a dog but no zorbl"],
)
def test_a_phrase_that_looks_for_something_else_is_left_alone(phrase: str) -> None:
    assert Reading([lesson("zorbl"), lesson("my mug")]).of(phrase) == (phrase, None)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("the  pallet B7.", "pallet B7"),
        ("a zorbl", "zorbl"),
        ("the", ""),
        ("two", ""),
        ("left", ""),
        ("the white", ""),
        ("7", ""),
        ("the A Team", "Team"),
        ("room 7", "room 7"),
    ],
)
def test_a_name_is_kept_bare_and_names_a_thing(given: str, name: str) -> None:
    if name:
        assert bare(given) == name
    else:
        with pytest.raises(PhraseError, match="expected a name of a thing"):
            bare(given)


@given(st.text())
def test_a_phrase_without_a_name_is_left_alone(phrase: str) -> None:
    if "zorbl" not in phrase.lower():
        assert Reading([lesson("zorbl")]).of(phrase) == (phrase, None)


@pytest.mark.parametrize("phrase", ["zorblish", "unzorbl", "zorbl_2"])
def test_a_name_is_a_whole_word(phrase: str) -> None:
    assert Reading([lesson("zorbl")]).of(phrase) == (phrase, None)


@pytest.mark.parametrize(
    "phrase",
    [
        "the spoon beneath the zorbl",
        "the table around my zorbl",
        "a hand touching the zorbl",
        "the lid for a zorbl",
        "the zorbl's handle",
        "the Zorbl\N{RIGHT SINGLE QUOTATION MARK}s handle",
    ],
)
def test_a_phrase_that_looks_for_something_else_is_left_as_it_is(phrase: str) -> None:
    assert Reading([lesson("zorbl")]).of(phrase) == (phrase, None)


def test_a_foreign_file_whose_name_has_an_article_is_refused(tmp_path: Path) -> None:
    for name in ("the zorbl", "two"):
        lesson(name).save(tmp_path / "one.delta")
        with pytest.raises(LessonError, match=r"expected a name of a thing|has an article"):
            Lesson.load(tmp_path / "one.delta")


@given(st.text(min_size=1).filter(lambda s: s.strip()))
def test_any_name_is_found(name: str) -> None:
    read, found = Reading([lesson(name)]).of(f"the {' '.join(name.split())} here")
    assert found is not None and "cup" in read


def test_a_file_holds_the_lesson(tmp_path: Path) -> None:
    one = lesson("pallet B7")
    one.save(tmp_path / "b7.delta")
    again = Lesson.load(tmp_path / "b7.delta")
    assert (again.name, again.noun, again.bias) == (one.name, one.noun, one.bias)
    assert (again.model, again.figures) == (one.model, FIGURES)
    np.testing.assert_array_equal(again.weights, one.weights)
    assert [path.name for path in tmp_path.iterdir()] == ["b7.delta"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "one.delta"
    lesson("zorbl").save(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "shorter"):
        del content[data.draw(st.integers(0, len(content) - 1), "length") :]
    else:
        place = data.draw(st.integers(0, len(content) - 1), "place")
        content[place] ^= data.draw(st.integers(1, 255), "change")
    path.write_bytes(content)
    try:
        read = Lesson.load(path)
    except LessonError as error:
        assert str(path) in str(error)
    else:  # in what holds nothing: spaces of the header
        np.testing.assert_array_equal(read.weights, lesson("zorbl").weights)
        assert (read.name, read.noun, read.bias) == ("zorbl", "cup", -0.5)


def test_what_is_no_lesson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LessonError, match="none"):
        Lesson.load(tmp_path / "none.delta")
    (tmp_path / "large.delta").write_bytes(bytes(MOST_BYTES + 1))
    with pytest.raises(LessonError, match="at most"):
        Lesson.load(tmp_path / "large.delta")
    os.mkfifo(tmp_path / "pipe.delta")
    with pytest.raises(LessonError, match="no regular file"):
        Lesson.load(tmp_path / "pipe.delta")
    lesson("zorbl", noun="x" * 200_000).save(tmp_path / "long.delta")
    with pytest.raises(LessonError, match="at most 1000 letters"):
        Lesson.load(tmp_path / "long.delta")
    (loop := tmp_path / "loop.delta").symlink_to(loop)
    for path in (tmp_path / "none" / "one.delta", loop):
        with pytest.raises(LessonError, match="cannot be written"):
            lesson("zorbl").save(path)
