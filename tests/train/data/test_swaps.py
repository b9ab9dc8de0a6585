"""Expressions that one swapped word makes untrue."""

import json
import random
from pathlib import Path

import pytest

from train.data.colours import NAMES
from train.data.samples import Expression, Instance, Photo
from train.data.swap_words import FAMILIES, ROLES
from train.data.swaps import COLOURS, swapped_expressions, swaps, with_articles
from train.yardsticks.lists import QUESTIONS

BOX = (0.1, 0.1, 0.5, 0.5)


def captioned(*texts: str, **more: object) -> Photo:
    return Photo(Path("a.jpg"), tuple(Expression(text, (BOX,)) for text in texts), **more)  # type: ignore[arg-type]


def all_swaps(photo: Photo) -> set[str]:
    return {text for seed in range(200) for text in swaps(photo, random.Random(seed))}


def test_a_colour_that_nobody_names_is_swapped_in() -> None:
    found = all_swaps(captioned("a red shirt", "a blue sky"))
    colours = {text.split()[-2] for text in found if text.endswith("shirt")}
    assert colours == {"black", "white", "yellow", "green"}, "alike and named colours are left out"
    assert {"grey", "pink", "purple"} == set(NAMES) - set(COLOURS), "kept for the yardsticks"


def test_a_noun_of_the_family_replaces_one_unless_the_captions_may_mean_it() -> None:
    found = all_swaps(captioned("a cat", "a stuffed animal", "a man on a bike"))
    assert "a dog" in found and "a horse" in found
    assert not any("elephants" in text or "bicycle" in text for text in found)
    assert not any("dog" in text for text in all_swaps(captioned("the cat", "two dogs")))


def test_genders_are_swapped_only_where_all_people_are_of_one() -> None:
    assert "a tall woman" in all_swaps(captioned("a tall man", "the boy"))
    for other in ("a woman", "a young child", "two people"):
        assert "a tall woman" not in all_swaps(captioned("a tall man", other))


def test_a_person_gets_a_role_that_no_caption_supports() -> None:
    found = all_swaps(captioned("a tall man", "a cook"))
    assert "a tall pirate" in found and "a tall chef" not in found
    dressed = all_swaps(captioned("a tall man", "two people", "a costume"))
    assert dressed == set(), "who knows as whom"


def test_words_of_the_yardsticks_are_never_swapped_in() -> None:
    records = (json.loads(line) for line in (QUESTIONS / "swaps.jsonl").read_text().splitlines())
    asked = {record["swap"][2] for record in records if "swap" in record}
    assert asked and not asked & {*COLOURS, *ROLES, *(noun for f in FAMILIES for noun in f)}


def test_labels_decide_for_their_classes() -> None:
    labelled = Photo(
        Path("a.jpg"), (), (Instance("dog", BOX, "black"),), frozenset({"dog", "cat", "horse"})
    )
    words = " ".join(all_swaps(labelled))
    assert "cat" in words and "horse" in words
    assert "cow" not in words, "nobody looked for cows"
    assert "white dog" in words and "brown dog" not in words
    known = {"instances": (Instance("cat", BOX),), "known_labels": frozenset({"cat"})}
    assert "cat" not in " ".join(all_swaps(captioned("a dog", **known)))


def test_the_swap_is_of_what_is_asked_where_that_has_a_word_to_swap() -> None:
    photo = captioned("a red shirt", "a blue kite", "a smile")
    red, _, smile = photo.expressions
    for seed in range(50):
        texts = list(swaps(photo, random.Random(seed), [red]))
        assert texts and all(text.endswith("shirt") or text.startswith("a red") for text in texts)
    others = {t for seed in range(50) for t in swaps(photo, random.Random(seed), [smile])}
    assert any(text.endswith("kite") for text in others), "nothing in a smile to swap"


def test_the_labelled_swap_is_of_the_class_that_is_asked() -> None:
    labelled = Photo(
        Path("a.jpg"),
        (),
        (Instance("dog", BOX, "black"), Instance("cup", BOX, "black")),
        frozenset({"dog", "cat", "cup", "bottle"}),
    )
    asked = [Expression("the cup", (BOX,), label="cup")]
    for seed in range(50):
        words = " ".join(swaps(labelled, random.Random(seed), asked))
        assert "cat" not in words and "dog" not in words


def test_a_photo_without_a_word_to_swap_gives_nothing() -> None:
    assert swapped_expressions(captioned("a smile"), random.Random(0)) == []
    (found,) = swapped_expressions(captioned("a red smile"), random.Random(0))
    assert found.boxes == () and found.kind == "absent"


def test_of_two_swaps_the_first_is_a_colour_where_one_is_named() -> None:
    photo = captioned("a cat", "a red shirt", "a tall man")
    for seed in range(50):
        colour, other = (e.text for e in swapped_expressions(photo, random.Random(seed)))
        assert colour.endswith("shirt") and colour.split()[1] in COLOURS
        assert other.split()[:2] == ["a", "red"] or ("red" not in other and "shirt" not in other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a elephant", "an elephant"), ("an red car", "a red car"), ("A old an", "An old an")],
)
def test_articles_follow_the_next_word(text: str, expected: str) -> None:
    assert with_articles(text) == expected
