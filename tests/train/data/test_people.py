"""People of captioned photos: who is the same person, who is counted, and when nobody is."""

from hypothesis import given
from hypothesis import strategies as st

from train.data.people import MOST_PEOPLE, people_instances
from train.data.samples import Box, Expression

LEFT: Box = (0.1, 0.2, 0.3, 0.9)
MIDDLE: Box = (0.4, 0.2, 0.6, 0.9)
RIGHT: Box = (0.7, 0.2, 0.9, 0.9)


def said(text: str, *boxes: Box, kind: str = "people") -> Expression:
    return Expression(text, boxes, kind)


def labelled(*expressions: Expression) -> dict[str, set[Box]]:
    """Class -> boxes of what the captions give."""
    found: dict[str, set[Box]] = {}
    instances = people_instances(expressions)
    for instance in instances:
        found.setdefault(instance.label, set()).add(instance.box)
    assert sum(map(len, found.values())) == len(instances)  # nobody is there twice
    return found


def shifted(box: Box, by: float) -> Box:
    return (box[0] + by, box[1], box[2] + by, box[3])


def test_people_are_persons_and_what_their_nouns_say() -> None:
    found = labelled(said("a tall man", LEFT), said("the Lady", MIDDLE), said("a boy", RIGHT))
    assert found == {
        "person": {LEFT, MIDDLE, RIGHT},
        "man": {LEFT},
        "woman": {MIDDLE},
        "boy": {RIGHT},
    }


def test_one_phrase_may_have_several_boxes() -> None:
    assert labelled(said("two men", LEFT, RIGHT)) == {
        "person": {LEFT, RIGHT},
        "man": {LEFT, RIGHT},
    }


def test_only_people_count() -> None:
    dog, hat = said("a dog", MIDDLE, kind="animals"), said("a hat", RIGHT, kind="clothing")
    assert labelled(said("a man", LEFT), dog, hat) == {}
    assert labelled(said("a man", LEFT), dog, said("a girl", RIGHT))["person"] == {LEFT, RIGHT}


def test_captions_that_box_one_person_again_do_not_make_two() -> None:
    again = said("the guy", shifted(LEFT, 0.02))
    assert labelled(said("a man", LEFT), again) == {}
    assert labelled(said("a man", LEFT), again, said("a man", RIGHT))["man"] == {LEFT, RIGHT}


def test_people_who_overlap_a_little_stay_two() -> None:
    near = shifted(LEFT, 0.1)
    assert labelled(said("a man", LEFT), said("a girl", near))["person"] == {LEFT, near}


def test_a_noun_may_come_with_a_later_caption() -> None:
    found = labelled(said("a cyclist", LEFT), said("a girl", RIGHT), said("a woman", LEFT))
    assert found == {"person": {LEFT, RIGHT}, "woman": {LEFT}, "girl": {RIGHT}}


def test_without_everybodys_noun_there_are_only_persons() -> None:
    # "the man" would be ambiguous if the cyclist is one too.
    assert labelled(said("a man", LEFT), said("a cyclist", RIGHT)) == {"person": {LEFT, RIGHT}}


def test_a_crowd_has_people_without_boxes() -> None:
    two = (said("a man", LEFT), said("a girl", RIGHT))
    for words in ("a Crowd", "a group of people", "a soccer team", "many onlookers"):
        assert labelled(*two, said(words, MIDDLE)) == {}, words
        assert labelled(*two, said(words, MIDDLE, kind="other")) != {}, words


@given(st.integers(0, 9))
def test_from_two_people_to_a_few(count: int) -> None:
    boxes = [(i / 10, 0.1, i / 10 + 0.08, 0.8) for i in range(count)]
    found = labelled(*(said("a woman", box) for box in boxes))
    wanted = set(boxes) if 2 <= count <= MOST_PEOPLE else set()
    assert found.get("person", set()) == found.get("woman", set()) == wanted


def test_one_box_around_several_people_is_nobody() -> None:
    assert labelled(said("two boys", LEFT), said("a man", RIGHT)) == {}


def test_two_nouns_for_one_person_are_none() -> None:
    found = labelled(said("a man", LEFT), said("a girl", RIGHT), said("the boy", LEFT))
    assert found == {"person": {LEFT, RIGHT}}
