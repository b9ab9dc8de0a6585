"""What a bundle is taught with: things of training photos as numbers, and useful nouns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sdk import Grounder
from sdk._internal.plurals import plural
from sdk.bundle.contract import FUSION
from sdk.geometry.boxes import cxcywh_to_xyxy, iou_xyxy
from sdk.lessons.background import Background
from sdk.lessons.looks import looks
from sdk.lessons.teacher import RIGHT
from sdk.teaching import asking
from train.data.coco import COCO_CLASSES
from train.data.colours import NAMES
from train.data.nouns import last_word
from train.data.samples import Photo

LEAST_USES = 15
"""Nouns that fewer training phrases end in are left out."""
NO_NOUNS = {*NAMES, "all", "back", "female", "male", "one", "other", "outside", "three", "two"}
"""Phrases end in them, and a thing is not called so."""
ROWS = 1024
"""Boxes of other things that a bundle brings along."""
SOME_NOUNS = 4
"""Whose candidates are taken of a photo."""


def common_nouns(photos: Iterable[Photo]) -> list[str]:
    """Nouns that training phrases end in and classes of the detector, no plurals."""
    ends = Counter(last_word(e.text) for photo in photos for e in photo.expressions)
    words = [word for word, uses in ends.items() if uses >= LEAST_USES and word.isalpha()]
    nouns = {word for word in (*COCO_CLASSES, *words) if word not in NO_NOUNS and len(word) > 2}
    plurals = {plural(noun) for noun in nouns} - {noun for noun in nouns if plural(noun) == noun}
    return sorted(nouns - plurals)


def background_of(folder: Path, photos: Sequence[Photo], nouns: Sequence[str]) -> Background:
    """Of the bundle in `folder`, which knows the nouns.

    Its first nouns find as many as possible of the things that the photos' boxes are around.
    """
    grounder, rng = Grounder.load(folder), np.random.default_rng(0)
    ask = asking(grounder.sessions[FUSION.name], grounder.encode_phrases)
    rows: list[NDArray[np.float32]] = []
    finds: list[NDArray[np.bool_]] = []
    for photo in tqdm(photos, desc="asking nouns", unit="photo"):
        things = [e.boxes[0] for e in photo.expressions if e.single]
        things += [instance.box for instance in photo.instances]
        if not things:
            continue
        with grounder.encode(photo.path) as view:
            boxes, logits = ask(view.visual_tokens, [f"the {noun}" for noun in nouns])
            some = rng.choice(len(nouns), SOME_NOUNS, replace=False)
            rows.append(looks(view.visual_tokens, boxes[some].reshape(-1, 4)))
            best = boxes[np.arange(len(nouns)), logits.argmax(1)]
        finds.append(iou_xyxy(cxcywh_to_xyxy(best), np.array(things)) >= RIGHT)
    seen = np.concatenate(rows)
    kept = rng.choice(len(seen), min(ROWS, len(seen)), replace=False)
    order = most_useful_first(np.concatenate(finds, axis=1))
    return Background(seen[kept].astype(np.float16), [nouns[i] for i in order])


def most_useful_first(finds: NDArray[np.bool_]) -> list[int]:
    """Rows of (nouns, things) so that the first ones find the most things, by greedy choice."""
    left = finds.copy()
    order: list[int] = []
    free = np.ones(len(finds), bool)
    while free.any():
        gains = np.where(free, left.sum(1) + finds.mean(1), -1)  # once all are found: the best
        order.append(int(gains.argmax()))
        free[order[-1]] = False
        left &= ~finds[order[-1]]
    return order
