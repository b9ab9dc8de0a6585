"""`python -m train.detector`: give a checkpoint the detection head that `--fusion comparing` reads.

A PicoDet-S for COCO teaches it, whose own head it starts as. The encoder stays frozen: the head
learns to read the maps that the encoder has come to give, at every place the class probabilities
and distances of the detector, on photos without any labels. A dense checkpoint becomes a comparing
one, which answers as before until it is trained on with `--side-weights`.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdk.frames import as_bgr
from sdk.preprocess import Preprocess
from sdk.sources import PICTURE_SUFFIXES
from train.build import build_model, preprocess_for
from train.checkpoint import (
    CheckpointError,
    check_frozen,
    frozen_sha256,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
    starting_values,
)
from train.data import augment
from train.data.readers import data_root, read_detection, read_expressions
from train.data.samples import DataError
from train.encoders.esnet import ESNet
from train.encoders.picodet import from_picodet, neck_maps
from train.fast_math import chosen_fast_math, use_fast_math
from train.fusion.detections import DetectionHead, LevelOutputs
from train.schedule import warm_cosine

PEAK = 1e-3
"""Highest learning rate."""
WARM_UP = 50
"""Steps until it is reached."""
LEAST_SIDE = 0.5
"""Smallest crop, of each side of the photo."""


def detection_distillation_loss(
    student: Sequence[LevelOutputs], teacher: Sequence[LevelOutputs]
) -> Tensor:
    """How far a head is from its teacher in its classes and its distances.

    Classes by a focal loss as in arXiv:2006.04388 with beta 1, distances by a smooth L1 loss.
    Distances are weighted by the teacher's best class probability; the sum is divided by the sum of
    these.
    """
    total = torch.zeros(())
    most = torch.zeros(())
    for (logits, sides), (teacher_logits, teacher_sides) in zip(student, teacher, strict=True):
        wanted = teacher_logits.sigmoid()
        focal = (logits.sigmoid().detach() - wanted).abs()
        bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        best = wanted.amax(1, keepdim=True)
        apart = F.smooth_l1_loss(sides, teacher_sides, reduction="none", beta=0.5)
        total = total + 2 * (focal * bce).sum() + (best * apart).sum()
        most = most + best.sum()
    return total / most.clamp(min=1)


def photo_paths(root: Path) -> list[Path]:
    """Training photos of every kind, and those in `unlabelled/images`; none that is held back.

    Raises:
        DataError: see `train.data.readers`, or no photos at all.
    """
    photos = [*read_expressions(root, "train"), *read_detection(root, "train")]
    files = sorted((root / "unlabelled" / "images").glob("*"))
    paths = [p.path for p in photos] + [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES]
    if not paths:
        raise DataError(f"{root}: expected photos to learn from, got none")
    return paths


def draw(paths: Sequence[Path], preprocess: Preprocess, batch: int, seed: int) -> Iterator[Tensor]:
    """Batches (B, 3, H, W) without end: photos in random order, mirrored, cropped, lightened."""
    rng = random.Random(seed)
    order = itertools.chain.from_iterable(rng.sample(paths, len(paths)) for _ in itertools.count())
    none = augment.all_boxes([])
    while True:
        images = []
        for path in itertools.islice(order, batch):
            image = as_bgr(path)
            if rng.random() < 0.5:
                image = image[:, ::-1]
            if rng.random() < 0.7:
                image, _ = augment.crop_keeping(image, none, rng, least=LEAST_SIDE)
            if rng.random() < 0.3:
                image = augment.jitter(image, rng)
            images.append(preprocess.tensor(np.ascontiguousarray(image)))
        yield torch.from_numpy(np.concatenate(images))


def teach(
    head: DetectionHead,
    encoder: nn.Module,
    teacher: tuple[ESNet, DetectionHead],
    batches: Iterator[Tensor],
    steps: int,
) -> float:
    """Train `head` on the frozen `encoder`; returns the mean loss of the steps' last tenth."""
    teacher_encoder, teacher_head = teacher
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=0.01)
    last: list[float] = []
    bar = tqdm(range(steps), desc="teaching the head", unit="batch")
    for step in bar:
        images = next(batches)
        with torch.no_grad():
            goal = teacher_head.predict_levels(neck_maps(teacher_encoder, images))
        optimizer.param_groups[0]["lr"] = PEAK * warm_cosine(step + 1, steps, WARM_UP)
        levels = head.predict_levels(neck_maps(encoder, images))
        loss = detection_distillation_loss(levels, goal)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        last = [*last, float(loss.detach())][-max(1, steps // 10) :]
        bar.set_postfix(loss=f"{sum(last) / len(last):.3f}", refresh=False)
    return sum(last) / len(last)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m train.detector",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="with a dense or comparing fusion")
    parser.add_argument("--picodet", type=Path, required=True, help="the teacher, an .onnx")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--steps", type=int, default=1100, help="batches to learn from")
    parser.add_argument("--batch-photos", type=int, default=12, help="photos in a batch")
    parser.add_argument("--seed", type=int, default=0, help="of order and augmentation")
    args = parser.parse_args(argv)
    try:
        groups, config, state = load_checkpoint(args.checkpoint)
        if config.fusion not in ("comparing", "dense"):
            raise ValueError(f"{args.checkpoint}: expected a dense or comparing fusion")
        if not args.picodet.is_file():
            raise ValueError(f"--picodet: expected a file, got {args.picodet}, which is none")
        for flag, value in (("--steps", args.steps), ("--batch-photos", args.batch_photos)):
            if value < 1:
                raise ValueError(f"{flag}: expected at least 1, got {value}")
        before = config.fusion
        config = dataclasses.replace(config, fusion="comparing", side_weights="", teacher="")
        model = build_model(config)
        check_frozen(frozen_sha256(model), state, args.checkpoint)
        teacher = from_picodet(args.picodet)
        assert model.detector is not None
        model.detector.load_state_dict(teacher[1].state_dict())  # unless the checkpoint has one
        values = starting_values(model, groups["average"], config.fusion, before)
        load_parameters(model, values)
        use_fast_math(chosen_fast_math(config.fast_math, torch.device("cpu")))
        paths = photo_paths(data_root(args.data))
        batches = draw(paths, preprocess_for(config), args.batch_photos, args.seed)
        loss = teach(model.detector, model.vision.net, teacher, batches, args.steps)
        save_checkpoint(args.out, {"average": model.adapter_state()}, config, state)
    except (CheckpointError, DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: loss {loss:.3f} on {len(paths):,} photos")
    return 0


if __name__ == "__main__":
    sys.exit(main())
