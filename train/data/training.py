"""All photos that a training run draws from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from train.data.caption_relations import read_captions, relations
from train.data.own import has_own
from train.data.pseudo_labels import PseudoLabels
from train.data.readers import read_detection, read_expressions
from train.data.samples import Photo, spread


def training_photos(
    root: Path, *, limit: int = 0, detection_photos: int = 0, pseudo_labels: str = ""
) -> list[Photo]:
    """Photos with expressions, labelled ones, and those that only a detector labelled.

    Args:
        limit: most photos with expressions; detection_photos: most labelled ones; 0 = all of the
            first, none of the second.
        pseudo_labels: file of `python -m train.data.pseudo_labels`; empty = none.

    Raises:
        DataError: no such data, or a line that is not as expected.
    """
    photos = spread(read_expressions(root, "train"), limit)
    if not has_own(root):
        captions = read_captions(root / "flickr30k_entities" / "captions_train.jsonl")
        photos = [with_relations(photo, captions.get(photo.path.name, [])) for photo in photos]
    if detection_photos:
        photos += spread(read_detection(root, "train"), detection_photos)
    if not pseudo_labels:
        return photos
    labels = PseudoLabels(root, Path(pseudo_labels))
    photos += [Photo(path) for path in sorted((root / "unlabelled" / "images").glob("*"))]
    return [with_pseudo_labels(photo, labels) for photo in photos]


def with_relations(photo: Photo, sentences: list[str]) -> Photo:
    """The photo with the whole expressions of its captions among its own."""
    return replace(
        photo, expressions=(*photo.expressions, *relations(sentences, photo.expressions))
    )


def with_pseudo_labels(photo: Photo, labels: PseudoLabels) -> Photo:
    """The photo with what a detector says of classes that nobody labelled in it."""
    found, decided = labels.of(photo.path)
    human = photo.known_labels | {instance.label for instance in photo.instances}
    more = tuple(instance for instance in found if instance.label not in human)
    return replace(
        photo, instances=(*photo.instances, *more), known_labels=photo.known_labels | decided
    )
