"""Batches: which phrases are asked, and boxes that stay on their pixels through augmentation.

Every rectangle has a colour of its own among the corners of the RGB cube, so that it is found again
after any change of light: a channel is on or off against half the maximum.
"""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sdk.bundle.preprocess import Preprocess
from sdk.geometry.boxes import cxcywh_to_xyxy
from train.data import dataset
from train.data.dataset import MOST_CONTRAST_WITH_CAPTIONS, Batch, BatchMaker
from train.data.samples import Box, Expression, Instance, Photo

SIDE = 192
PLAIN = Preprocess(SIDE, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # tensors are pixels, RGB
COLOURS = {"red": 4, "green": 2, "blue": 1, "yellow": 6, "pink": 5, "white": 7}  # bits R, G, B
LEFT: Box = (0.1, 0.2, 0.35, 0.6)
RIGHT: Box = (0.55, 0.25, 0.95, 0.9)
EPOCHS = 25


def paint(path: Path, *rectangles: tuple[str, Box]) -> Path:
    """Write a black 240 x 200 photo with rectangles."""
    image = np.zeros((200, 240, 3), np.uint8)
    for colour, box in rectangles:
        x1, y1, x2, y2 = (round(v * n) for v, n in zip(box, (240, 200, 240, 200), strict=True))
        image[y1:y2, x1:x2] = [255 * (COLOURS[colour] >> bit & 1) for bit in range(3)]  # BGR
    cv2.imwrite(str(path), image)
    return path


def labelled(folder: Path, name: str, *colours: str) -> Photo:
    """Two dogs, left and right, in a photo whose source also labels cats."""
    places = list(zip(colours, (LEFT, RIGHT), strict=True))
    dogs = tuple(Instance("dog", box, colour) for colour, box in places)
    return Photo(paint(folder / name, *places), (), dogs, frozenset({"dog", "cat"}))


def captioned(folder: Path, left: str, right: str) -> Photo:
    said = (Expression(left, (LEFT,)), Expression(right, (RIGHT,)))
    return Photo(paint(folder / "captioned.png", ("red", LEFT), ("blue", RIGHT)), said)


def maker(photos: list[Photo], *, images: bool = True, **changes: float) -> BatchMaker:
    settings = {"phrases_per_photo": 4, "negatives": 0.0, "seed": 0} | changes
    return BatchMaker(PLAIN, photos, with_images=images, augment=images, **settings)  # type: ignore[arg-type]


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


def dogs_and_a_cat(dogs: int) -> Photo:
    """A row of dogs above a cat; nothing is read from disk."""
    row = [Instance("dog", (i / dogs, 0.1, i / dogs + 0.12, 0.4)) for i in range(dogs)]
    cat = Instance("cat", (0.4, 0.6, 0.7, 0.9))
    return Photo(Path("row.jpg"), (), (*row, cat), frozenset({"dog", "cat", "cow"}))


def asked(batch: Batch) -> list[Box]:
    """The xyxy boxes of what is present, rounded so that they compare equal."""
    boxes = cxcywh_to_xyxy(batch.boxes[batch.present].numpy().astype(float))
    return [tuple(np.round(box, 4).tolist()) for box in boxes]


def test_contrast_comes_first_where_there_are_only_labels() -> None:
    photo = dogs_and_a_cat(3)
    boxes = [tuple(np.round(i.box, 4).tolist()) for i in photo.instances]
    make = maker([photo], images=False, phrases_per_photo=3)
    for epoch in range(EPOCHS):
        found = asked(make.batch([photo], epoch))
        assert len([box for box in found if box in boxes[:3]]) == 3
        assert len([box for box in found if box == boxes[3]]) <= 1
    assert len(asked(make.batch([dogs_and_a_cat(1)], 0))) == 2  # the dog and the cat


def test_phrases_that_mean_several_are_asked_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dataset, "vary", lambda text, rng: text)  # no slips
    photo = dogs_and_a_cat(3)
    make = maker([photo], images=False, phrases_per_photo=9)
    make.several = True
    texts, kinds = set(), 0
    for epoch in range(EPOCHS):
        batch = make.batch([photo], epoch)
        for row, text in enumerate(batch.texts):
            many = int(batch.is_answer[row].sum())
            texts.add(text)
            kinds += many > 1
            if "but the" in text or "except the" in text:
                assert many == 2
            if "dogs" in text and "but" not in text and "except" not in text:
                assert many == 3 and batch.counted[row]
            if " of the cat" in text or "above the cat" in text:
                assert batch.is_context[row].any() or not many
    assert kinds and any(" the cat" in text for text in texts)


def test_captions_keep_their_share_beside_contrast() -> None:
    captions = [(i / 10, 0.0, i / 10 + 0.1, 0.1) for i in range(6)]
    people = tuple(Instance("person", (x, 0.3, x + 0.2, 0.9)) for x in (0.0, 0.3, 0.7))
    said = tuple(Expression(f"thing {i}", (box,)) for i, box in enumerate(captions))
    both = Expression("two things", (captions[0], captions[1]))  # asked nowhere: no single box
    photo = Photo(Path("people.jpg"), (*said, both), people)
    make = maker([photo], images=False)
    persons = {tuple(np.round(p.box, 4).tolist()) for p in people}
    contrasts, pairs = [], set()
    for epoch in range(EPOCHS):
        found = asked(make.batch([photo], epoch))
        contrasts.append(sum(box in persons for box in found))
        kept = [box for box in found if box not in persons]
        assert len(found) == 4 and len(set(kept)) == len(kept)
        pairs.add(frozenset(kept))
    assert set(contrasts) == set(range(MOST_CONTRAST_WITH_CAPTIONS + 1))
    assert len(pairs) > 5  # drawn anew in each epoch


def test_what_is_absent_has_no_box_and_is_not_present() -> None:
    box = ((0.1, 0.1, 0.5, 0.5),)
    beagle, kite = (Photo(Path(t), (Expression(t, box),)) for t in ("a beagle", "a kite"))
    photos = [dogs_and_a_cat(2), beagle, kite]
    make, without = (maker(photos, images=False, negatives=share) for share in (1.0, 0.0))
    rows = set()
    for epoch in range(EPOCHS):
        batch = make.batch(photos, epoch)
        assert not batch.boxes[~batch.present].any()
        assert (batch.boxes[batch.present][:, 2:] > 0).all()
        # A class that is labelled nowhere in the photo can always be asked for.
        assert batch.photo_of[~batch.present].tolist().count(0) == 1
        rows |= set(zip(batch.photo_of.tolist(), batch.texts, batch.present.tolist(), strict=True))
        assert without.batch(photos, epoch).present.all()
    borrowed = {(photo, text): there for photo, text, there in rows if photo}
    assert len(borrowed) == len({row for row in rows if row[0]})  # nothing is there and absent
    assert borrowed[1, "a beagle"] and borrowed[2, "a kite"]
    assert not borrowed[1, "a kite"] and not borrowed[2, "a beagle"]
    assert any(text == "a cow" and not there for photo, text, there in rows)
    assert not any(text in ("a cow", "the cow", "cow") and there for _, text, there in rows)


@pytest.mark.parametrize("negatives", [0.0, 2.0])
def test_null_boxes_of_the_data_are_asked_and_nothing_is_borrowed(negatives: float) -> None:
    box = ((0.1, 0.1, 0.5, 0.5),)
    said = (Expression("a mug", box), Expression("a lamp", ()), Expression("a kite", ()))
    photos = [Photo(Path("own.jpg"), said), Photo(Path("b.jpg"), (Expression("a beagle", box),))]
    make = maker(photos, images=False, negatives=negatives)
    for epoch in range(EPOCHS):
        batch = make.batch(photos[:1], epoch)
        assert batch.present.tolist() == [True, False, False], batch.texts


def test_every_phrase_belongs_to_its_photo() -> None:
    photos = [dogs_and_a_cat(2), Photo(Path("empty.jpg")), dogs_and_a_cat(4)]
    batch = maker(photos, images=False).batch(photos, 0)
    assert set(batch.photo_of.tolist()) == {0, 2}  # nothing can be asked about the empty one
    for box, photo in zip(asked(batch), batch.photo_of.tolist(), strict=True):
        assert box in [tuple(np.round(i.box, 4).tolist()) for i in photos[photo].instances]
    nothing = maker(photos[1:2], images=False).batch(photos[1:2], 0)
    assert nothing.texts == ["nothing"] and nothing.present.tolist() == [False]
    assert nothing.images is None


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


def test_without_company_a_phrase_names_its_own_box_alone(tmp_path: Path) -> None:
    photo = captioned(tmp_path, "something", "another thing")
    batch = maker([photo], images=False).batch([photo], 0)
    assert batch.real.all() and torch.equal(batch.instances[:, 0], batch.boxes)
    lone = maker([dogs_and_a_cat(1)], images=False).batch([dogs_and_a_cat(1)], 0)
    assert torch.equal(lone.instances[lone.real], lone.boxes)


def test_a_batch_has_a_loss_where_nothing_can_be_asked(tmp_path: Path) -> None:
    silent = Photo(paint(tmp_path / "silent.png"))
    batch = maker([silent], images=False).batch([silent], 0)
    assert len(batch.texts) == 1 and not batch.present.any()


def same(a: Batch, b: Batch) -> bool:
    """True if two batches agree to the last pixel."""
    tensors = [(a.boxes, b.boxes), (a.photo_of, b.photo_of), (a.present, b.present)]
    tensors += [(a.images, b.images)] if a.images is not None else []
    return a.texts == b.texts and a.photos == b.photos and all(torch.equal(*t) for t in tensors)


def test_seed_and_epoch_decide_everything(dogs: list[Photo]) -> None:
    first = maker(dogs, negatives=0.5).batch(dogs, 3)
    assert same(first, maker(dogs, negatives=0.5).batch(dogs, 3))
    assert not same(first, maker(dogs, negatives=0.5).batch(dogs, 4))
    assert not same(first, maker(dogs, negatives=0.5, seed=1).batch(dogs, 3))
    # What is asked of a photo does not depend on the photos that are beside it in the batch.
    alone = maker(dogs, negatives=0.5).batch(dogs[1:2], 3)
    assert alone.images is not None and first.images is not None
    assert torch.equal(alone.images[0], first.images[1])


def test_an_interrupted_epoch_goes_on_with_the_batches_it_would_have_had() -> None:
    photos = [
        Photo(Path(f"{i}.jpg"), (Expression(f"thing {i}", ((0.1, 0.1, 0.9, i / 20 + 0.2),)),))
        for i in range(9)
    ]
    make = maker(photos, images=False)
    assert len(whole := list(make.epoch(2, 2))) == make.batches_per_epoch(2) == 4
    assert len({photo.path for batch in whole for photo in batch.photos}) == 8
    rest = list(maker(photos, images=False).epoch(2, 2, skip=3))
    assert len(rest) == 1 and same(rest[0], whole[3])
    assert [b.photos for b in make.epoch(3, 2)] != [b.photos for b in whole]
