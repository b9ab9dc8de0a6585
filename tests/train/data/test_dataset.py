"""Batches: which phrases are asked of which photo, and of what is not there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdk.geometry.boxes import cxcywh_to_xyxy
from tests.painted import EPOCHS, captioned, maker, paint, same
from train.data import dataset
from train.data.dataset import MOST_CONTRAST_WITH_CAPTIONS, Batch, batches_per_pass
from train.data.loading import made_ahead
from train.data.samples import REFERRING, Box, Expression, Instance, Photo
from train.fusion import CANDIDATES


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
    make = maker([photo], images=False, fusion=CANDIDATES, phrases_per_photo=9)
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


def test_of_referring_expressions_nothing_is_lent_or_made_absent() -> None:
    box = ((0.1, 0.1, 0.5, 0.5),)
    told = Photo(Path("told.jpg"), (Expression("a man in a red shirt", box, REFERRING),))
    kite = Photo(Path("kite.jpg"), (Expression("a kite", box),))
    make = maker([told, kite], images=False, negatives=2.0)
    plain = replace(told, expressions=(Expression("a man in a red shirt", box),))
    for epoch in range(EPOCHS):
        batch = make.batch([told, kite], epoch)
        assert batch.present[batch.photo_of == 0].all()
        assert not any("man" in t for t, at in zip(batch.texts, batch.photo_of, strict=True) if at)
    described = maker([plain, kite], images=False, negatives=2.0)
    assert not all(described.batch([plain, kite], e).present.all() for e in range(EPOCHS))


def test_every_phrase_belongs_to_its_photo() -> None:
    photos = [dogs_and_a_cat(2), Photo(Path("empty.jpg")), dogs_and_a_cat(4)]
    batch = maker(photos, images=False).batch(photos, 0)
    assert set(batch.photo_of.tolist()) == {0, 2}  # nothing can be asked about the empty one
    for box, photo in zip(asked(batch), batch.photo_of.tolist(), strict=True):
        assert box in [tuple(np.round(i.box, 4).tolist()) for i in photos[photo].instances]
    nothing = maker(photos[1:2], images=False).batch(photos[1:2], 0)
    assert nothing.texts == ["nothing"] and nothing.present.tolist() == [False]
    assert nothing.images is None


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


def test_an_interrupted_epoch_goes_on_with_the_batches_it_would_have_had() -> None:
    photos = [
        Photo(Path(f"{i}.jpg"), (Expression(f"thing {i}", ((0.1, 0.1, 0.9, i / 20 + 0.2),)),))
        for i in range(9)
    ]
    make = maker(photos, images=False)
    groups = make.order(2, 2)
    assert len(groups) == batches_per_pass(9, 2, 1) == 4
    assert len({photo.path for group in groups for photo in group}) == 8
    again = maker(photos, images=False)
    assert again.order(2, 2) == groups != make.order(3, 2)
    assert same(again.batch(groups[3], 2), make.batch(groups[3], 2))


def test_processes_share_a_pass() -> None:
    make = maker([Photo(Path(f"{i}.jpg")) for i in range(11)], images=False)
    whole = make.order(0, 2)
    assert [make.order(0, 2, rank, 2) for rank in (0, 1)] == [whole[0:4:2], whole[1:4:2]]


def test_batches_are_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    photos = [
        Photo(paint(tmp_path / f"{i}.png"), (Expression(f"thing {i}", ((0.1, 0.1, 0.9, 0.9),)),))
        for i in range(6)
    ]
    make = maker(photos)
    groups = make.order(0, 2)
    alone, helped = (list(made_ahead(make, groups, 0, workers)) for workers in (0, 2))
    assert len(alone) == len(helped) == 3
    assert all(same(one, other) for one, other in zip(alone, helped, strict=True))
