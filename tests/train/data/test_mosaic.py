"""Joined photos: who may be joined, boxes on their pixels, and classes that stay complete."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.expressions import expressions_for
from train.data.mosaic import Partners, join
from train.data.samples import Box, Expression, Instance, Photo

SQUARE: Box = (0.25, 0.25, 0.75, 0.75)


def photo(name: str, *labels: str, known: set[str]) -> Photo:
    return Photo(Path(name), (), tuple(Instance(n, SQUARE) for n in labels), frozenset(known))


def painted(height: int, width: int, box: tuple[int, int, int, int], value: int) -> np.ndarray:
    """A black picture with the pixels of an xyxy box set."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = value
    return image


sides = st.integers(24, 48)  # no part shrinks by more than a half, so that no box vanishes
spans = st.tuples(st.integers(0, 15), st.integers(6, 9)).map(lambda s: (s[0], s[0] + s[1]))
pictures = st.tuples(sides, sides, spans, spans)


@given(st.lists(pictures, min_size=2, max_size=3), st.booleans())
def test_every_box_lies_on_its_pixels(
    parts: list[tuple[int, int, tuple[int, int], tuple[int, int]]], across: bool
) -> None:
    photos, images = [], []
    for index, (height, width, (x1, x2), (y1, y2)) in enumerate(parts):
        box = (x1, y1, x2, y2)
        fractions = tuple(float(v) for v in np.array(box) / ([width, height] * 2))
        instance = Instance(f"thing {index}", fractions, "red")
        known = frozenset(f"thing {i}" for i in range(3))
        photos.append(Photo(Path(f"{index}.jpg"), (), (instance,), known))
        images.append(painted(height, width, box, 80 * (index + 1)))
    joined, image = join(photos, images, across=across)
    height, width = images[0].shape[:2]
    count = len(parts)
    assert image.shape == ((height, width * count, 3) if across else (height * count, width, 3))
    assert [(i.label, i.colour) for i in joined.instances] == [
        (f"thing {index}", "red") for index in range(count)
    ]
    for index, instance in enumerate(joined.instances):
        x1, y1, x2, y2 = np.array(instance.box) * np.tile(image.shape[1::-1], 2)
        # Resizing blends an edge with the background: half the value is half a pixel.
        bright = image[..., 0] > 40 * (index + 1)
        part = np.indices(bright.shape)[int(across)] // (width if across else height) == index
        ys, xs = np.nonzero(bright & part)
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        np.testing.assert_allclose(found, [x1, y1, x2, y2], atol=1.01)


@pytest.mark.parametrize("across", [True, False])
def test_a_class_counts_only_where_all_parts_are_labelled_completely(across: bool) -> None:
    both = photo("a.jpg", "dog", "cat", known={"dog", "cat", "cow"})
    dogs = photo("b.jpg", "dog", "cow", known={"dog", "cow"})  # may hold cats without a label
    image = np.zeros((16, 16, 3), np.uint8)
    joined, _ = join([both, dogs], [image, image], across=across)
    assert [i.label for i in joined.instances] == ["dog", "dog", "cow"]
    assert joined.known_labels == {"dog", "cow"}


def test_two_photos_of_one_dog_ask_which_dog() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    dogs = [photo(name, "dog", known={"dog"}) for name in ("a.jpg", "b.jpg")]
    assert all(e.num_instances == 1 for p in dogs for e in expressions_for(p, random.Random(0)))
    for across, words in ((True, {"left", "right"}), (False, {"top", "bottom"})):
        joined, _ = join(dogs, [image, image], across=across)
        asked = expressions_for(joined, random.Random(0))
        assert {word for e in asked for word in words if word in e.text} == words
        assert all(e.num_instances == 2 for e in asked)


def drawn(photos: list[Photo], photo: Photo) -> list[list[str]]:
    """Names of the partners that 60 seeds draw."""
    partners = Partners(photos)
    return [[p.path.name for p in partners.draw(photo, random.Random(seed))] for seed in range(60)]


def test_partners_share_a_class_and_are_one_or_two_others() -> None:
    dog, cat = photo("dog", "dog", known={"dog"}), photo("cat", "cat", known={"cat"})
    pet = photo("pet", "dog", "cat", known={"dog", "cat"})
    pup = photo("pup", "dog", known={"dog"})
    photos = [dog, cat, pet, pup]
    for names in drawn(photos, dog):
        assert set(names) <= {"pet", "pup"} and len(set(names)) == len(names) <= 2
    assert {len(names) for names in drawn(photos, dog)} == {0, 1, 2}
    assert {name for names in drawn(photos, cat) for name in names} == {"pet"}
    assert {name for names in drawn(photos, pet) for name in names} == {"dog", "cat", "pup"}


def test_no_partner_without_completely_labelled_classes() -> None:
    dog, more = photo("dog", "dog", known={"dog"}), photo("more", "dog", known={"cat"})
    people = Photo(Path("people"), (Expression("a man", (SQUARE,)),), dog.instances)
    for asked in (dog, more, people):
        assert not any(drawn([dog, more, people], asked))
