"""Borrowed phrases: people's own words, most often about what the photo shows."""

import random
from pathlib import Path

from train.data.borrowed import BORROWED, BorrowedPhrases
from train.data.samples import Box, Expression, Instance, Photo

BOX: Box = (0.1, 0.1, 0.5, 0.5)
SAID = ["a brown dog", "two dogs in the snow", "a red car"]
CAPTIONED = Photo(
    Path("a.jpg"),
    (*(Expression(t, (BOX,)) for t in SAID), Expression("a tall man", (BOX,), "people")),
)


def drawn(photo: Photo, count: int = 300) -> list[str]:
    phrases, rng = BorrowedPhrases([CAPTIONED]), random.Random(0)
    found = [phrases.draw(photo, rng) for _ in range(count)]
    assert all(e and not e.boxes and e.kind == BORROWED for e in found)
    return [e.text for e in found if e]


def test_most_phrases_are_about_what_the_photo_shows_and_none_is_left_out() -> None:
    texts = drawn(Photo(Path("b.jpg"), (), (Instance("dog", BOX),)))
    assert set(texts) == {*SAID, "a tall man"}
    assert sum("dog" in t for t in texts) > 0.75 * len(texts)


def test_people_are_asked_about_as_people() -> None:
    for photo in (
        Photo(Path("b.jpg"), (), (Instance("person", BOX),)),
        Photo(Path("c.jpg"), (Expression("the woman", (BOX,), "people"),)),
    ):
        assert drawn(photo).count("a tall man") > 150


def test_a_photo_of_something_else_borrows_anything() -> None:
    for photo in (Photo(Path("b.jpg")), Photo(Path("c.jpg"), (), (Instance("tv", BOX),))):
        assert set(drawn(photo)) == {*SAID, "a tall man"}


def test_a_photos_own_phrases_are_not_borrowed() -> None:
    other = Photo(Path("d.jpg"), (Expression("a small dog", (BOX,)),))
    phrases, rng = BorrowedPhrases([CAPTIONED, other]), random.Random(0)
    drawn = [e.text for _ in range(300) if (e := phrases.draw(CAPTIONED, rng))]
    assert drawn and set(drawn) == {"a small dog"}


def test_nothing_to_borrow_is_no_phrase() -> None:
    assert BorrowedPhrases([]).draw(CAPTIONED, random.Random(0)) is None
