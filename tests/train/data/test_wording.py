"""Other wordings of a phrase: whole words, one slip, and most phrases as they were."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.expressions import ORDINALS
from train.data.wording import mistype, paraphrase, vary


def outcomes(change: Callable[[str, random.Random], str], text: str) -> set[str]:
    """What 60 seeds make of the text."""
    return {change(text, random.Random(seed)) for seed in range(60)}


def test_every_known_word_is_replaced() -> None:
    assert outcomes(paraphrase, "a dog on the couch") == {
        f"a {dog} on the sofa" for dog in ("doggy", "puppy", "pup")
    }
    assert paraphrase("The BIKE", random.Random(0)) == "The bicycle"


@pytest.mark.parametrize("text", ["a cowboy", "the carpet", "doghouse", "manly hatstand", "bricks"])
def test_a_word_within_a_word_is_left_alone(text: str) -> None:
    assert outcomes(paraphrase, text) == {text}


def test_what_tells_instances_apart_keeps_its_meaning() -> None:
    for word in (*ORDINALS, "left", "right", "leftmost", "rightmost", "middle", "top", "bottom"):
        assert outcomes(paraphrase, f"the {word} one") == {f"the {word} one"}
    for word in ("black", "white", "brown", "red", "orange", "yellow", "green", "blue", "pink"):
        assert outcomes(paraphrase, f"a {word} thing") == {f"a {word} thing"}
    assert outcomes(paraphrase, "the bigger one") == {"the larger one"}
    assert outcomes(paraphrase, "the biggest one") == {"the largest one"}


def test_a_slip_swaps_drops_or_doubles_a_letter() -> None:
    assert outcomes(mistype, "dog") == {"odg", "dgo", "og", "dg", "ddog", "doog"}


def test_words_of_one_or_two_letters_are_typed_right() -> None:
    assert outcomes(mistype, "an ox at 7, no?") == {"an ox at 7, no?"}
    assert all(text.startswith("an ") for text in outcomes(mistype, "an owl"))


words = st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=9), min_size=1, max_size=6)


@given(words, st.integers(0, 999))
def test_only_one_word_slips_and_by_one_letter(typed: list[str], seed: int) -> None:
    slipped = mistype(" ".join(typed), random.Random(seed)).split(" ")
    assert len(slipped) == len(typed)
    changed = [(a, b) for a, b in zip(typed, slipped, strict=True) if a != b]
    assert len(changed) <= 1
    for before, after in changed:
        assert len(before) >= 3 and abs(len(after) - len(before)) <= 1
        lost, won = Counter(before) - Counter(after), Counter(after) - Counter(before)
        assert lost.total() + won.total() <= 1  # swapped letters: none


def test_most_phrases_stay_and_each_variation_occurs() -> None:
    text = "the dog on the left"
    synonyms = {f"the {dog} on the left" for dog in ("doggy", "puppy", "pup")}
    made = [vary(text, random.Random(seed)) for seed in range(2000)]
    unmarked = [phrase.rstrip(".!?,") for phrase in made]
    share = {
        "as it was": made.count(text) / 2000,
        "synonym": sum(p in synonyms for p in unmarked) / 2000,
        "slip": sum(p not in {text, *synonyms} for p in unmarked) / 2000,
        "mark": sum(p != u for p, u in zip(made, unmarked, strict=True)) / 2000,
    }
    assert 0.65 < share["as it was"] < 0.9
    assert all(0.02 < share[kind] < 0.2 for kind in ("synonym", "slip", "mark")), share


@given(st.text(max_size=30), st.integers(0, 999))
def test_any_text_can_be_varied_and_the_same_way_again(text: str, seed: int) -> None:
    assert vary(text, random.Random(seed)) == vary(text, random.Random(seed))
