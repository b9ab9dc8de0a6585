"""Photos and expressions to batches of tensors, through the runtime's own preprocessing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdk.boxes import xyxy_to_cxcywh
from sdk.frames import as_bgr
from sdk.preprocess import Preprocess
from train.data import augment
from train.data.expressions import absent_expression, expressions_for
from train.data.negatives import ForeignPhrases
from train.data.samples import Expression, Photo


@dataclass(frozen=True, slots=True)
class Batch:
    """B photos with P phrases.

    images: (B, 3, H, W) float32, or None where features are kept; photo_of: (P,) index into B;
    boxes: (P, 4) cxcywh fractions of the network input; present: (P,) False = not in the photo.
    """

    photos: list[Photo]
    images: Tensor | None
    texts: list[str]
    photo_of: Tensor
    boxes: Tensor
    present: Tensor


class PhotoStore:
    """Decoded photos, (H, W, 3) uint8 BGR, kept in memory after the first read."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def __getitem__(self, photo: Photo) -> NDArray[np.uint8]:
        key = str(photo.path)
        if key not in self._kept:
            self._kept[key] = as_bgr(photo.path)
        return self._kept[key]


class BatchMaker:
    """Draws phrases for photos and turns them into batches.

    Every random choice comes from (seed, epoch, photo), so an interrupted run resumes with the
    batches it would have had. `with_images=False` leaves pixels out and does not augment: the
    vision features of the plain photo are kept elsewhere.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        photos: Sequence[Photo],
        *,
        phrases_per_photo: int,
        negatives: float,
        seed: int,
        with_images: bool,
    ) -> None:
        self.preprocess = preprocess
        self.photos = list(photos)
        self.phrases_per_photo = phrases_per_photo
        self.negatives = negatives
        self.seed = seed
        self.with_images = with_images
        self._foreign = ForeignPhrases(photos)
        self._store = PhotoStore()

    def epoch(self, epoch: int, batch_photos: int, skip: int = 0) -> Iterator[Batch]:
        """Batches of one pass in a shuffled order; `skip` leaves out those already trained on."""
        order = list(range(len(self.photos)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        for start in range(skip * batch_photos, len(order) - batch_photos + 1, batch_photos):
            yield self.batch([self.photos[i] for i in order[start : start + batch_photos]], epoch)

    def batches_per_epoch(self, batch_photos: int) -> int:
        """How many batches `epoch` gives from the start."""
        return len(self.photos) // batch_photos

    def batch(self, photos: Sequence[Photo], epoch: int) -> Batch:
        """One batch; photos for which no phrase can be made stay without one."""
        images, texts, photo_of, boxes = [], [], [], []
        for index, photo in enumerate(photos):
            rng = random.Random(f"{self.seed}/{epoch}/{photo.path.name}")
            chosen = self._choose(photo, rng)
            targets = augment.all_boxes([e.boxes[0] for e in chosen if e.boxes])
            if self.with_images:
                tensor, targets, chosen = self._augmented(photo, chosen, targets, rng)
                images.append(tensor)
            remaining = iter(xyxy_to_cxcywh(targets))
            for expression in chosen:
                texts.append(expression.text)
                photo_of.append(index)
                boxes.append(next(remaining) if expression.boxes else np.zeros(4))
        return Batch(
            photos=list(photos),
            images=torch.from_numpy(np.concatenate(images)) if images else None,
            texts=texts,
            photo_of=torch.tensor(photo_of, dtype=torch.long),
            boxes=torch.from_numpy(np.array(boxes, np.float32).reshape(-1, 4)),
            present=torch.tensor([bool(b[2] > 0) for b in boxes], dtype=torch.bool),
        )

    def _choose(self, photo: Photo, rng: random.Random) -> list[Expression]:
        """At most `phrases_per_photo` expressions with one box, and now and then an absent one."""
        made = expressions_for(photo, rng) if photo.instances else []
        options = [e for e in photo.expressions if e.single] + made
        chosen = rng.sample(options, min(self.phrases_per_photo, len(options)))
        if rng.random() < self.negatives:
            absent = (
                absent_expression(photo, rng) if photo.instances else self._foreign.draw(photo, rng)
            )
            chosen += [absent] if absent else []
        return chosen

    def _augmented(
        self, photo: Photo, chosen: list[Expression], boxes: NDArray[np.float32], rng: random.Random
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], list[Expression]]:
        image = self._store[photo]
        if rng.random() < 0.5:
            image, boxes = augment.flip(image, boxes)
            chosen = [Expression(augment.swap_sides(e.text), e.boxes, e.kind) for e in chosen]
        if rng.random() < 0.6 and not any(augment.is_relative(e.text) for e in chosen):
            image, boxes = augment.crop_keeping(image, boxes, rng, least=0.5)
        if rng.random() < 0.5:
            image = augment.jitter(image, rng)
        return self.preprocess.tensor(image), boxes, chosen
