"""Generated expressions, negatives and language-aware augmentation."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.augment import crop_keeping, flip, is_relative, swap_sides
from train.data.expressions import absent_expression, expressions_for
from train.data.negatives import ForeignPhrases, content_words
from train.data.samples import Expression, Instance, Photo

PHOTO = "photo.jpg"


def photo_of(*instances: Instance, known: set[str] = frozenset()) -> Photo:
    return Photo(PHOTO, (), instances, frozenset(known))


def dog_at(x: float, y: float = 0.4, size: float = 0.2, colour: str | None = None) -> Instance:
    return Instance("dog", (x, y, x + size, y + size), colour)


def made(photo: Photo) -> dict[str, tuple[float, ...]]:
    """Every expression that any of 30 seeds makes -> its box."""
    found = {}
    for seed in range(30):
        for e in expressions_for(photo, random.Random(seed)):
            assert found.setdefault(e.text, e.boxes[0]) == e.boxes[0], e.text
    return found


def test_places_name_the_outermost_instance() -> None:
    left, middle, right = dog_at(0.0), dog_at(0.4), dog_at(0.75)
    found = made(photo_of(middle, right, left))
    assert found["the dog on the left"] == left.box
    assert found["the rightmost dog"] == right.box
    assert found["the middle dog"] == middle.box
    assert found["the second dog from the left"] == middle.box
    assert found["the first dog from the right"] == right.box
    assert found["the third dog from the right"] == left.box


def test_instances_too_close_to_tell_apart_are_not_told_apart_by_place() -> None:
    assert made(photo_of(dog_at(0.40), dog_at(0.43))) == {}


def test_size_needs_a_clear_ratio() -> None:
    small, big = dog_at(0.1, size=0.15), dog_at(0.1, y=0.45, size=0.35)
    found = made(photo_of(small, big))
    assert found["the bigger dog"] == big.box
    assert found["the smaller dog"] == small.box
    assert not any("bigger" in t for t in made(photo_of(dog_at(0.1), dog_at(0.6, size=0.22))))


def test_every_form_of_a_side_is_used() -> None:
    found = made(photo_of(dog_at(0.0), dog_at(0.6)))
    for side in ("left", "right"):
        for form in (f"the dog on the {side}", f"the {side} dog", f"the {side}most dog"):
            assert form in found


def test_a_colour_names_the_only_one_that_has_it() -> None:
    red, blue, other = dog_at(0.0, colour="red"), dog_at(0.4, colour="blue"), dog_at(0.75)
    found = made(photo_of(red, blue))
    assert found["the red dog"] == found["a red dog"] == red.box
    assert found["the blue dog"] == blue.box
    black = replace(other, colour="black")
    assert made(photo_of(red, blue, black))["the black dog"] == black.box


def test_a_colour_that_another_one_may_have_is_not_named() -> None:
    def named(*colours: str | None) -> set[str]:
        dogs = (dog_at(0.3 * i, colour=c) for i, c in enumerate(colours))
        return {t.split()[1] for t in made(photo_of(*dogs)) if t.split()[1] in set(colours)}

    assert named("red", "red", "blue") == {"blue"}
    assert named("red", "orange", "blue") == {"blue"}  # one may pass for the other
    assert named("red", "blue", None) == set()  # the last one may be of any colour
    assert named("red", None) == set()


def test_nobody_is_named_by_the_colour_of_the_clothes() -> None:
    left, right = (
        replace(dog_at(x, colour=c), label="man") for x, c in ((0, "red"), (0.6, "blue"))
    )
    found = made(photo_of(left, right))
    assert found["the man on the left"] == left.box
    assert not any("red" in text or "blue" in text for text in found)


def test_company_counts_the_instances_of_the_class() -> None:
    dogs = [dog_at(0.3 * i, size=0.1 + 0.06 * i, colour=c) for i, c in enumerate(("red", "blue"))]
    speck, cat = dog_at(0.9, size=0.01), replace(dog_at(0.5, y=0.7), label="cat")
    found = expressions_for(photo_of(*dogs, speck, cat), random.Random(0))
    assert {e.num_instances for e in found if "cat" in e.text} == {1}
    assert {e.num_instances for e in found if "dog" in e.text} == {3}
    assert {e.kind for e in found} >= {"single", "left/right", "size"}
    assert Expression("a dog", (cat.box,)).num_instances == 0  # nobody counted


def test_a_single_instance_is_named_without_contrast() -> None:
    assert set(made(photo_of(dog_at(0.3)))) <= {
        f"{a}{n}" for a in ("", "a ", "the ") for n in ("dog", "doggy")
    }


def test_an_absent_class_has_no_box_and_is_really_absent() -> None:
    photo = photo_of(dog_at(0.3), known={"dog", "cat"})
    for seed in range(20):
        expression = absent_expression(photo, random.Random(seed))
        assert expression is not None
        assert expression.boxes == () and "cat" in expression.text
    assert absent_expression(photo_of(dog_at(0.3), known={"dog"}), random.Random(0)) is None


def test_a_borrowed_phrase_shares_no_word_with_the_photo() -> None:
    def photo(*texts: str) -> Photo:
        box = ((0.0, 0.0, 0.5, 0.5),)
        return Photo(PHOTO, tuple(Expression(t, box, "animals") for t in texts))

    here, there = photo("a brown dog"), photo("two dogs", "a grey horse", "brown horses")
    pool = ForeignPhrases([here, there])
    drawn = {pool.draw(here, random.Random(seed)) for seed in range(40)}
    assert {e.text for e in drawn if e} == {"a grey horse"}
    assert all(e.boxes == () for e in drawn if e)
    assert content_words("The two Dogs") == {"dog"}


def test_nobody_is_borrowed_where_there_are_people() -> None:
    def photo(text: str, kind: str) -> Photo:
        return Photo(PHOTO, (Expression(text, ((0.0, 0.0, 0.5, 0.5),), kind),))

    crowded, empty = photo("a cyclist", "people"), photo("a beach", "scene")
    pool = ForeignPhrases([crowded, empty, photo("a surfer", "people"), photo("a kite", "other")])

    def borrowed(here: Photo) -> set[str]:
        drawn = (pool.draw(here, random.Random(seed)) for seed in range(60))
        return {e.text for e in drawn if e}

    assert borrowed(crowded) == {"a kite"}
    assert borrowed(empty) == {"a cyclist", "a surfer", "a kite"}


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("the dog on the left", "the dog on the right"),
        ("Left bright bowl", "Right bright bowl"),
        ("the leftmost copyright sign", "the rightmost copyright sign"),
    ],
)
def test_flip_swaps_whole_words_only(text: str, mirrored: str) -> None:
    assert swap_sides(text) == mirrored
    assert swap_sides(mirrored) == text


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("lft guy", "rt guy"),
        ("guy on rt side", "guy on lft side"),
        ("Leftside kid", "Rightside kid"),
        ("righthand cup", "lefthand cup"),
        ("the man right behind the car", "the man right behind the car"),
        ("right next to left dog", "right next to right dog"),
        ("the girl right in front of the tv", "the girl right in front of the tv"),
        ("the right in red", "the left in red"),
        ("right horse", "left horse"),
    ],
)
def test_flip_knows_shorthand_and_right_that_is_no_side(text: str, mirrored: str) -> None:
    assert swap_sides(text) == mirrored
    assert swap_sides(mirrored) == text
    assert is_relative(text)


def test_relative_phrases_are_whole_words_too() -> None:
    assert is_relative("the bigger dog") and is_relative("top shelf")
    assert not is_relative("a laptop") and not is_relative("bright lights")


fraction = st.floats(0, 1, width=32)
boxes = st.lists(
    st.tuples(fraction, fraction, fraction, fraction)
    .map(lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])))
    .filter(lambda b: b[2] - b[0] > 0.01 and b[3] - b[1] > 0.01),
    max_size=4,
).map(lambda found: np.array(found, np.float32).reshape(-1, 4))


@given(boxes, st.integers(0, 1000), st.sampled_from([(48, 64), (31, 17), (224, 224)]))
def test_a_crop_contains_every_target_and_keeps_its_pixels(
    targets: np.ndarray, seed: int, size: tuple[int, int]
) -> None:
    height, width = size
    image = np.indices(size).transpose(1, 2, 0).astype(np.uint8)  # pixel = its own row and column
    image = np.concatenate([image, image[..., :1]], axis=2)
    cropped, moved = crop_keeping(image, targets, random.Random(seed), least=0.5)
    assert (moved >= -1e-3).all() and (moved <= 1 + 1e-3).all()
    assert cropped.shape[0] >= height // 2 and cropped.shape[1] >= width // 2
    top, left = cropped[0, 0, :2]
    back = moved * np.tile(cropped.shape[1::-1], 2) + np.array([left, top, left, top])
    np.testing.assert_allclose(back, targets * np.array([width, height] * 2), atol=1e-2)


@given(boxes)
def test_flipping_twice_is_the_identity(targets: np.ndarray) -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    named = [tuple(box) for box in targets.tolist()]
    photo = Photo(
        PHOTO,
        tuple(Expression("a left one", (box, box), "animals") for box in named),
        tuple(Instance("dog", box, "red") for box in named),
        frozenset({"dog"}),
    )
    once, mirrored = flip(photo, image)
    twice, back = flip(once, mirrored)
    np.testing.assert_array_equal(back, image)
    assert twice == replace(photo, expressions=twice.expressions, instances=twice.instances)
    for before, middle, after in zip(photo.instances, once.instances, twice.instances, strict=True):
        assert middle.box[2] > middle.box[0] and after == replace(before, box=after.box)
        np.testing.assert_allclose(after.box, before.box, atol=1e-6)
    for old, middle, new in zip(
        photo.expressions, once.expressions, twice.expressions, strict=True
    ):
        assert middle.text == "a right one" and new == replace(old, boxes=new.boxes)
        np.testing.assert_allclose(new.boxes, old.boxes, atol=1e-6)


def test_flip_moves_pixels_boxes_and_words_together() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    image[2:5, 3:8] = 255
    box = (3 / 20, 2 / 10, 8 / 20, 5 / 10)
    photo = Photo(PHOTO, (Expression("the left box", (box,)),), (Instance("box", box, "white"),))
    mirrored, flipped = flip(photo, image)
    ys, xs = np.nonzero(flipped[..., 0])
    found = [xs.min() / 20, ys.min() / 10, (xs.max() + 1) / 20, (ys.max() + 1) / 10]
    (expression,), (instance,) = mirrored.expressions, mirrored.instances
    np.testing.assert_allclose(expression.boxes[0], found)
    np.testing.assert_allclose(instance.box, found)
    assert expression.text == "the right box"
    assert (instance.label, instance.colour) == ("box", "white")


def test_specks_are_not_referred_to_but_count_as_company() -> None:
    speck, dog = dog_at(0.05, size=0.03), dog_at(0.6, size=0.3)
    found = made(photo_of(speck, dog))
    assert set(found.values()) == {dog.box}
    assert not any(text in ("dog", "a dog", "the dog") for text in found)
