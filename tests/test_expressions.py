"""Generated expressions, negatives and language-aware augmentation."""

import random

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


def dog_at(x: float, y: float = 0.4, size: float = 0.2) -> Instance:
    return Instance("dog", (x, y, x + size, y + size))


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
    once, moved = flip(image, targets)
    assert (moved[:, 2] >= moved[:, 0]).all()
    twice, back = flip(once, moved)
    np.testing.assert_array_equal(twice, image)
    np.testing.assert_allclose(back, targets, atol=1e-6)


def test_specks_are_not_referred_to_but_count_as_company() -> None:
    speck, dog = dog_at(0.05, size=0.03), dog_at(0.6, size=0.3)
    found = made(photo_of(speck, dog))
    assert set(found.values()) == {dog.box}
    assert not any(text in ("dog", "a dog", "the dog") for text in found)
