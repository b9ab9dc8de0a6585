"""Batches with images: boxes stay on their pixels, and words true, through augmentation."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sdk.geometry.boxes import cxcywh_to_xyxy
from tests.painted import COLOURS, EPOCHS, LEFT, RIGHT, SIDE, captioned, maker, paint, same
from train.data.samples import Instance, Photo


def labelled(folder: Path, name: str, *colours: str) -> Photo:
    """Two dogs, left and right, in a photo whose source also labels cats."""
    places = list(zip(colours, (LEFT, RIGHT), strict=True))
    dogs = tuple(Instance("dog", box, colour) for colour, box in places)
    return Photo(paint(folder / name, *places), (), dogs, frozenset({"dog", "cat"}))


def seen(image: torch.Tensor) -> np.ndarray:
    """(3, H, W) pixels -> (H, W) code of the colour; 0 is the background."""
    on = image.numpy() > 0.5 * np.percentile(image.numpy(), 99.5)
    return on[0] * 4 + on[1] * 2 + on[2]


def colour_in(codes: np.ndarray, box: np.ndarray) -> str:
    """The colour that fills the xyxy box and lies nowhere else."""
    assert (box > -1e-3).all() and (box < 1 + 1e-3).all()
    x1, y1, x2, y2 = (box * SIDE).round().astype(int)
    code = int(np.bincount(codes[y1:y2, x1:x2].ravel()).argmax())
    (name,) = (n for n, c in COLOURS.items() if c == code)
    # Blur and compression fray the edges.
    assert (codes[y1:y2, x1:x2] == code).mean() > 0.85
    ys, xs = np.nonzero(codes == code)
    assert ((xs >= x1 - 2) & (xs < x2 + 2) & (ys >= y1 - 2) & (ys < y2 + 2)).mean() > 0.97
    return name


def colours_of(codes: np.ndarray) -> list[str]:
    """Colours of the rectangles in view; the fringes of compression are thinner."""
    return [name for name, code in COLOURS.items() if (codes == code).mean() > 0.01]


def center_x(codes: np.ndarray, name: str) -> float:
    """Where the middle of a colour's pixels is along x."""
    return float(np.median(np.nonzero(codes == COLOURS[name])[1]) + 0.5) / SIDE


@pytest.fixture
def dogs(tmp_path: Path) -> list[Photo]:
    pairs = (("red", "green"), ("blue", "yellow"), ("pink", "white"))
    return [labelled(tmp_path, f"{i}.png", *pair) for i, pair in enumerate(pairs)]


def test_boxes_stay_on_their_pixels_and_words_true_through_all_augmentation(
    dogs: list[Photo],
) -> None:
    make = maker(dogs)
    in_view, named, sided = [], 0, 0
    for epoch in range(EPOCHS):
        batch = make.batch(dogs, epoch)
        assert batch.images is not None and batch.images.shape == (3, 3, SIDE, SIDE)
        found = [seen(image) for image in batch.images]
        # Of what is compared, nothing is cropped away: always both dogs of each joined photo.
        in_view += [len(colours_of(codes)) for codes in found]
        boxes = cxcywh_to_xyxy(batch.boxes.numpy())
        for text, photo, box in zip(batch.texts, batch.photo_of.tolist(), boxes, strict=True):
            colour = colour_in(found[photo], box)
            if word := re.search(r"\b(red|green|blue|yellow|pink|white)\b", text):
                assert word.group() == colour
                named += 1
            if side := re.search(r"(?:on the|^the) (left|right)\b|(left|right)most", text):
                centers = [center_x(found[photo], c) for c in colours_of(found[photo])]
                outermost = min(centers) if "left" in side.group() else max(centers)
                assert abs((box[0] + box[2]) / 2 - outermost) < 0.02
                sided += 1
    assert set(in_view) == {2, 4, 6}  # one photo alone, two or three joined
    assert named > 20 and sided > 20


def test_a_caption_with_a_side_is_mirrored_and_never_cropped(tmp_path: Path) -> None:
    photo = captioned(tmp_path, "the left box", "the right box")
    make = maker([photo], phrases_per_photo=1)
    colours: dict[str, set[str]] = {"left": set(), "right": set()}
    for epoch in range(EPOCHS):
        batch = make.batch([photo], epoch)
        assert batch.images is not None
        codes = seen(batch.images[0])
        # A crop could take away the other box, which "left" is meant against.
        assert len(colours_of(codes)) == 2
        (box,) = cxcywh_to_xyxy(batch.boxes.numpy())
        for side in colours:
            if side in batch.texts[0]:
                assert ((box[0] + box[2]) / 2 < 0.5) == (side == "left")
                colours[side].add(colour_in(codes, box))
    assert colours == {"left": {"red", "blue"}, "right": {"red", "blue"}}


def test_captions_without_places_are_cropped_around_their_boxes(tmp_path: Path) -> None:
    photo = captioned(tmp_path, "something", "another thing")
    make = maker([photo])
    largest = 0.0
    for epoch in range(EPOCHS):
        batch = make.batch([photo], epoch)
        assert batch.images is not None and len(batch.texts) == 2
        boxes = cxcywh_to_xyxy(batch.boxes.numpy())
        assert {colour_in(seen(batch.images[0]), box) for box in boxes} == {"red", "blue"}
        largest = max(largest, float(batch.boxes[:, 2:].prod(1).max()))
    assert largest > 1.2 * (0.4 * 0.65)  # the right box, uncropped


def test_instances_are_all_of_the_class_and_stay_on_their_pixels(dogs: list[Photo]) -> None:
    make = maker(dogs, negatives=0.5)
    for epoch in range(EPOCHS):
        batch = make.batch(dogs, epoch)
        assert batch.images is not None
        found = [seen(image) for image in batch.images]
        rows = zip(batch.instances, batch.real, batch.present, batch.photo_of, strict=True)
        for row, (instances, real, present, photo) in enumerate(rows):
            boxes = cxcywh_to_xyxy(instances[real].numpy())
            if not present:
                assert not real.any()
                continue
            codes = found[photo]
            assert sorted(colour_in(codes, b) for b in boxes) == sorted(colours_of(codes))
            # The one that is asked for is among them.
            assert (instances[real] - batch.boxes[row]).abs().amax(1).min() < 1e-6


def test_seed_and_epoch_decide_everything(dogs: list[Photo]) -> None:
    first = maker(dogs, negatives=0.5).batch(dogs, 3)
    assert same(first, maker(dogs, negatives=0.5).batch(dogs, 3))
    assert not same(first, maker(dogs, negatives=0.5).batch(dogs, 4))
    assert not same(first, maker(dogs, negatives=0.5, seed=1).batch(dogs, 3))
    # What is asked of a photo does not depend on the photos that are beside it in the batch.
    alone = maker(dogs, negatives=0.5).batch(dogs[1:2], 3)
    assert alone.images is not None and first.images is not None
    assert torch.equal(alone.images[0], first.images[1])
