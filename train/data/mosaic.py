"""Several labelled photos joined into one picture: more contrast than single photos hold.

Most labelled photos show one instance of a class. Two or three of them side by side, or one above
the other, make "the cat on the left" or "the second dog from the right" a real question.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.samples import Photo, as_box

Image = NDArray[np.uint8]


class Partners:
    """Finds photos to join with: fully labelled ones that share a class."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._with_label: dict[str, list[Photo]] = defaultdict(list)
        for photo in photos:
            for label in sorted({i.label for i in photo.instances} & photo.known_labels):
                self._with_label[label].append(photo)

    def draw(self, photo: Photo, rng: random.Random) -> list[Photo]:
        """One or two other photos, or none where no other photo shares a class."""
        labels = sorted({i.label for i in photo.instances} & photo.known_labels)
        if not labels:
            return []
        pool = self._with_label[rng.choice(labels)]
        chosen = rng.sample(pool, min(rng.choice((1, 1, 2)), len(pool)))
        return [other for other in chosen if other is not photo]


def join(photos: Sequence[Photo], images: Sequence[Image], *, across: bool) -> tuple[Photo, Image]:
    """One photo of all: side by side if `across`, else one above the other.

    Every part gets the same share of the width (or height). A class counts only if it is labelled
    completely in all parts, so that no unlabelled instance makes an expression ambiguous.
    """
    height, width = images[0].shape[:2]
    parts = [np.asarray(cv2.resize(image, (width, height)), np.uint8) for image in images]
    known = frozenset.intersection(*(photo.known_labels for photo in photos))
    scale = np.array([1 / len(photos), 1] * 2 if across else [1, 1 / len(photos)] * 2)
    instances = []
    for index, photo in enumerate(photos):
        offset = np.array([index, 0] * 2 if across else [0, index] * 2)
        for instance in photo.instances:
            if instance.label in known:
                box = as_box((np.array(instance.box) + offset) * scale)
                instances.append(replace(instance, box=box))
    joined = np.concatenate(parts, axis=1 if across else 0)
    return Photo(photos[0].path, (), tuple(instances), known), joined
