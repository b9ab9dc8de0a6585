"""Whole expressions out of captions: phrase, link and phrase, with the first one's box."""

import pytest

from train.data.caption_relations import RELATION, joins, relations, spans
from train.data.samples import Box, Expression

BOY, SHORTS, BOAT = (0.1, 0.1, 0.5, 0.9), (0.2, 0.5, 0.4, 0.7), (0.0, 0.6, 1.0, 1.0)


def phrase(text: str, *boxes: Box) -> Expression:
    return Expression(text, boxes)


PHRASES = (phrase("a boy", BOY), phrase("blue shorts", SHORTS), phrase("a small boat", BOAT))


def test_an_expression_has_the_head_nouns_box_and_the_others_as_context() -> None:
    sentences = ["A boy in blue shorts stands on a small boat .", "A boy in blue shorts ."]
    first, second = relations(sentences, PHRASES)
    assert first == Expression("A boy in blue shorts", (BOY,), RELATION, context=(SHORTS,))
    assert second.text == "blue shorts stands on a small boat"
    assert second.boxes == (SHORTS,) and second.context == (BOAT,)


@pytest.mark.parametrize(
    ("between", "linked"),
    [
        ("in", True),
        ("stands next to", True),
        ("sits right in front of", True),
        ("and", False),
        ("", False),
        ("jumps", False),
        ("is", False),
        ("who is looking straight ahead at", False),  # six words
    ],
)
def test_links_end_in_a_word_of_place_or_of_carrying(between: str, linked: bool) -> None:
    assert joins(between.split()) is linked


def test_a_phrase_with_several_boxes_is_no_head_but_may_be_the_context() -> None:
    boats = phrase("two boats", BOAT, BOY)
    assert relations(["Two boats near blue shorts"], (boats, PHRASES[1])) == ()
    (found,) = relations(["blue shorts near two boats"], (boats, PHRASES[1]))
    assert found.boxes == (SHORTS,) and found.context == (BOAT, BOY)


def test_two_names_of_one_thing_are_no_relation() -> None:
    child = phrase("the child", BOY)
    assert relations(["a boy with the child"], (PHRASES[0], child)) == ()


def test_the_longest_phrase_wins_a_word() -> None:
    words = ["a", "boy", "in", "blue", "shorts"]
    whole = phrase("a boy in blue", BOY)
    found = spans(words, (*PHRASES, phrase("boy", BOY), whole))
    assert [(s.start, s.end, s.expression) for s in found] == [(0, 4, whole)]
