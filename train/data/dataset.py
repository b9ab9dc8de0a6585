"""Photos and expressions to batches of tensors, through the runtime's own preprocessing."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdk.bundle.preprocess import Preprocess
from sdk.geometry.boxes import xyxy_to_cxcywh
from sdk.inputs.frames import as_bgr
from train.data import augment, mosaic
from train.data.caption_relations import RELATION
from train.data.coco import class_of
from train.data.degrade import degrade
from train.data.expressions import expressions_for
from train.data.negatives import ForeignPhrases, absent_phrases
from train.data.nouns import last_word
from train.data.samples import Box, Expression, Photo
from train.data.wording import vary

if TYPE_CHECKING:
    from train.config import TrainConfig  # which knows the losses, and these the batches

MOSAIC = 0.5
"""Probability of joining a labelled photo with others that share a class."""
DEGRADED = 0.25
"""Probability of blur, low light, compression or fewer pixels."""
MOST_CONTRAST_WITH_CAPTIONS = 2
"""Most contrastive expressions of one photo that has captions to draw from."""
MOST_SINGLE = 3
"""Most expressions for the only instance of a class in a photo without captions."""
HARDEST_FIRST = 0.5
"""Probability that absent phrases with a wrong word, then a wrong place, come before the others."""
NOTHING = Expression("nothing", (), "absent")
"""Asked of a batch in which no phrase can be made of any photo: every batch has a loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B photos with P phrases.

    images: (B, 3, H, W) float32, or None where features are kept; photo_of: (P,) index into B;
    boxes: (P, 4) cxcywh fractions of the network input; present: (P,) False = not in the photo;
    answers: (P, A, 4) cxcywh, all that the phrase means; is_answer: (P, A) False = padding;
    counted: (P,) False where it may mean more than has a box;
    context: (P, C, 4) cxcywh, what it names beside that; is_context: (P, C) False = padding;
    instances: (P, K, 4) cxcywh, everything of the class that the phrase singles out one of, for
    other phrases their own boxes; real: (P, K) False = padding;
    classes: (P,) index into COCO_CLASSES of what the phrase names, NONE or UNKNOWN.
    """

    photos: list[Photo]
    images: Tensor | None
    texts: list[str]
    photo_of: Tensor
    boxes: Tensor
    present: Tensor
    answers: Tensor
    is_answer: Tensor
    counted: Tensor
    context: Tensor
    is_context: Tensor
    instances: Tensor
    real: Tensor
    classes: Tensor


class BatchMaker:
    """Draws phrases for photos and turns them into batches.

    Every random choice comes from (seed, epoch, photo), so an interrupted run resumes with the
    batches it would have had. Pixels are left out where the vision features of the plain photo are
    kept. With `pairs` the photos are those of `batch_items`, and nothing is drawn.
    """

    def __init__(
        self, preprocess: Preprocess, photos: Sequence[Photo], config: TrainConfig
    ) -> None:
        self.preprocess, self.config = preprocess, config
        self.photos = batch_items(photos, pairs=config.pairs)
        self._foreign = ForeignPhrases(photos)
        self._frequency = Counter(i.label for photo in photos for i in photo.instances)
        self._nouns = Counter(last_word(e.text) for photo in photos for e in photo.expressions)
        self._partners = mosaic.Partners(photos)

    def order(
        self, epoch: int, batch_photos: int, rank: int = 0, world: int = 1
    ) -> list[list[Photo]]:
        """The photos of each batch of one pass, shuffled.

        Process `rank` of `world` gets every world-th batch, as many as all others.
        """
        photos = list(self.photos)
        random.Random(f"{self.config.seed}/{epoch}").shuffle(photos)
        count = batches_per_pass(len(photos), batch_photos, world)
        starts = [(index * world + rank) * batch_photos for index in range(count)]
        return [photos[start : start + batch_photos] for start in starts]

    def batch(self, photos: Sequence[Photo], epoch: int) -> Batch:
        """One batch; photos for which no phrase can be made stay without one."""
        images, texts, photo_of = [], [], []
        asked: list[Expression] = []
        instances: list[Sequence[Box]] = []
        for index, photo in enumerate(photos):
            phrase = f"/{photo.expressions[0].text}" if self.config.pairs else ""
            rng = random.Random(f"{self.config.seed}/{epoch}/{photo.path.name}{phrase}")
            if self.config.augment:
                tensor, chosen, photo = self._augmented(photo, rng)
                images.append(tensor)
            else:
                chosen = self._choose(photo, rng)
                if not self.config.caches_vision:
                    images.append(self.preprocess.tensor(as_bgr(photo.path)))
            if index == len(photos) - 1 and not asked and not chosen:
                chosen = [NOTHING]
            asked += chosen
            texts += [vary(e.text, rng) if self.config.wording else e.text for e in chosen]
            photo_of += [index] * len(chosen)
            instances += [instances_of(expression, photo) for expression in chosen]
        answers, is_answer = pad_boxes([e.boxes for e in asked])
        context, is_context = pad_boxes([e.context for e in asked])
        padded, real = pad_boxes(instances)
        return Batch(
            photos=list(photos),
            images=torch.from_numpy(np.concatenate(images)) if images else None,
            texts=texts,
            photo_of=torch.tensor(photo_of, dtype=torch.long),
            boxes=answers[:, 0],
            present=is_answer.any(1),
            answers=answers,
            is_answer=is_answer,
            counted=torch.tensor([e.num_instances > 0 or not e.boxes for e in asked]),
            context=context,
            is_context=is_context,
            instances=padded,
            real=real,
            classes=torch.tensor([class_of(e) for e in asked], dtype=torch.long),
        )

    def _choose(self, photo: Photo, rng: random.Random) -> list[Expression]:
        """At most `phrases_per_photo` expressions, and some that are absent.

        Contrast comes first where a photo has labels only. Of a photo with captions up to two are
        contrastive and one is a label; of its captions a third are whole expressions, and rare
        nouns come before "man" and "dog". What the data says to be absent is always drawn, what is
        made or borrowed as `negatives` says.
        """
        if self.config.pairs:
            return list(photo.expressions)
        captions = [
            e for e in photo.expressions if e.single or (self.config.means_several and e.boxes)
        ]
        made = expressions_for(photo, rng, several=self.config.means_several)
        made.sort(key=lambda e: rng.random() * self._frequency[e.label])  # rare classes first
        contrast = [e for e in made if e.num_instances > 1]
        labels = [e for e in made if e.num_instances == 1]
        if captions:
            chosen = contrast[: rng.randrange(MOST_CONTRAST_WITH_CAPTIONS + 1)] + labels[:1]
            chosen = chosen[: self.config.phrases_per_photo]
            room = self.config.phrases_per_photo - len(chosen)
            whole = [e for e in captions if e.kind == RELATION]
            chosen += rng.sample(whole, min(len(whole), (room + 1) // 3))
            room = self.config.phrases_per_photo - len(chosen)
            bare = [e for e in captions if e.kind != RELATION]
            bare.sort(key=lambda e: rng.random() * math.sqrt(self._nouns[last_word(e.text)]))
            chosen += bare[:room]
        else:
            chosen = (contrast + labels[:MOST_SINGLE])[: self.config.phrases_per_photo]
        said = [e for e in photo.expressions if not e.boxes]
        most = int(self.config.negatives + rng.random())  # whose mean is `negatives`
        if said:  # by the data itself: nothing has to be made, and none of it is left out
            chosen += rng.sample(said, min(self.config.phrases_per_photo, len(said)))
        elif most:
            absent = absent_phrases(photo, self._foreign, rng, chosen)
            if rng.random() < HARDEST_FIRST:
                absent.reverse()
            else:
                rng.shuffle(absent)
            chosen += absent[:most]
        return chosen

    def _augmented(
        self, photo: Photo, rng: random.Random
    ) -> tuple[NDArray[np.float32], list[Expression], Photo]:
        """Pixels, expressions, and the photo they are of, after mosaic, mirror, crop and camera."""
        image = as_bgr(photo.path)
        if rng.random() < MOSAIC and not photo.expressions:
            photos = [photo, *self._partners.draw(photo, rng)]
            if len(photos) > 1:
                rng.shuffle(photos)
                images = [as_bgr(p.path) for p in photos]
                photo, image = mosaic.join(photos, images, across=rng.random() < 0.7)
        if rng.random() < 0.5:
            photo, image = augment.flip(photo, image)
        chosen = self._choose(photo, rng)
        placed_by_caption = any(
            e.num_instances == 0 and augment.is_relative(e.text) for e in chosen
        )
        if rng.random() < 0.6 and not placed_by_caption:
            # What an expression compares must stay in view: then its order and sizes stay true.
            labels = {e.label for e in chosen if e.num_instances > 1}
            compared = [i for i in photo.instances if i.label in labels]
            named = [box for e in chosen for box in (*e.boxes, *e.context)]
            keep = augment.all_boxes([*named, *(i.box for i in compared)])
            image, keep = augment.crop_keeping(image, keep, rng, least=0.5)
            moved: Iterator[Box] = map(tuple, keep.tolist())
            chosen = [
                replace(
                    e,
                    boxes=tuple(islice(moved, len(e.boxes))),
                    context=tuple(islice(moved, len(e.context))),
                )
                for e in chosen
            ]
            instances = tuple(replace(i, box=next(moved)) for i in compared)
            photo = replace(photo, instances=instances)
        if rng.random() < 0.5:
            image = augment.jitter(image, rng)
        if rng.random() < DEGRADED:
            image = degrade(image, rng)
        return self.preprocess.tensor(image), chosen, photo


def batches_per_pass(items: int, batch_photos: int, processes: int) -> int:
    """How many batches each process has in a pass over the items; what is left over waits."""
    return items // (batch_photos * processes)


def batch_items(photos: Sequence[Photo], *, pairs: bool) -> list[Photo]:
    """What batches are made of: the photos, or with `pairs` one for each of their expressions.

    Expressions of several boxes are in no pair: they have no single box to learn.
    """
    if not pairs:
        return list(photos)
    return [
        replace(photo, expressions=(expression,))
        for photo in photos
        for expression in photo.expressions
        if len(expression.boxes) < 2
    ]


def instances_of(expression: Expression, photo: Photo) -> Sequence[Box]:
    """Boxes of everything of the class that a contrastive expression names, else its own."""
    if expression.num_instances > 1:
        return [i.box for i in photo.instances if i.label == expression.label]
    return expression.boxes


def pad_boxes(
    lists: Sequence[Sequence[Box]],
) -> tuple[Tensor, Tensor]:
    """P lists of xyxy boxes -> (P, K, 4) float32 cxcywh, K >= 1, and (P, K) False = padding."""
    most = max(1, *(len(boxes) for boxes in lists))
    padded = np.zeros((len(lists), most, 4), np.float32)
    real = np.zeros((len(lists), most), bool)
    for row, boxes in enumerate(lists):
        padded[row, : len(boxes)] = augment.all_boxes(boxes)
        real[row, : len(boxes)] = True
    return torch.from_numpy(xyxy_to_cxcywh(padded)), torch.from_numpy(real)
