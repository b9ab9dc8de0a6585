"""How long a run is, and what is said of it before it starts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence

from train.config import TrainConfig
from train.data.dataset import batch_items, batches_per_pass
from train.data.samples import Photo, is_described

LEAST_STEPS, LEAST_ON = 200, 40
"""Fewer steps teach a side network little, and one that goes on from weights. Of a few photos, more
make that one forget the rest."""


def least_steps(config: TrainConfig) -> int:
    """What a run should have."""
    return LEAST_ON if config.side_weights else LEAST_STEPS


def steps_of(config: TrainConfig, photos: Sequence[Photo], processes: int) -> int:
    """Optimiser steps of a whole run, before accumulation."""
    items = len(batch_items(photos, pairs=config.pairs))
    a_pass = batches_per_pass(items, config.batch_photos, processes)
    return config.steps or config.epochs * a_pass


def fitted(
    config: TrainConfig, given: Collection[str], photos: Sequence[Photo], processes: int
) -> TrainConfig:
    """The settings with defaults that suit few photos, where `given` does not name them.

    No batch is larger than what there is, and there are passes enough for `least_steps`.
    """
    items = len(batch_items(photos, pairs=config.pairs))
    if "batch_photos" not in given and 0 < items < config.batch_photos * processes:
        config = dataclasses.replace(config, batch_photos=max(1, items // processes))
    steps, least = steps_of(config, photos, processes), least_steps(config)
    if 0 < steps < least and not {"epochs", "steps"} & set(given):
        passes = math.ceil(config.epochs * least / steps)
        config = dataclasses.replace(config, epochs=passes)
    return config


def notes(config: TrainConfig, photos: Sequence[Photo], processes: int) -> list[str]:
    """Lines to say before the run: its length, and what it will not learn."""
    steps = steps_of(config, photos, processes)
    length = f"{steps:,} steps" if config.steps else f"{config.epochs} passes, {steps:,} steps"
    lines = [f"{len(photos):,} photos, batches of {config.batch_photos}: {length} in all"]
    least = least_steps(config)
    if steps < least:
        lines.append(
            f"warning: fewer than {least} steps teach little; leave out --epochs and --steps for "
            "more of them"
        )
    absent = any(not e.boxes for photo in photos for e in photo.expressions)
    knows = any(is_described(photo) or photo.known_labels for photo in photos)
    if config.loss == "box":
        lines.append("note: the score does not train with --loss box, boxes alone do")
    elif not absent and (not config.negatives or not knows):
        lines.append(
            "note: no phrase is absent (null boxes, or --negatives on photos that are described): "
            "the score will not tell what is there from what is not"
        )
    return lines
