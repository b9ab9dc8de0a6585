"""Everything a training or export test needs, generated and tiny: data, text encoder, checkpoint.

The vision encoder is the real architecture with random weights on 64 x 64 pixels: 4 x 4 cells.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

from train.build import build_model
from train.checkpoint import frozen_sha256, save_checkpoint
from train.config import TrainConfig
from train.data.readers import is_held_back
from train.encoders.detector_file import ENCODER_PART, HEAD_PART
from train.encoders.esnet import ESNet
from train.fusion import CANDIDATES, CandidatesFusion
from train.fusion.detections import DetectionHead
from train.model import GroundingModel

IMAGE_SIZE = 64
COLOURS = {"apple": (40, 40, 220), "bush": (40, 200, 40), "car": (220, 60, 40)}  # BGR
LABELS = ("dog", "cat", "cow")
WORDS = (
    "a an the in on of at from and left right top bottom first second third middle things doggy "
    "bigger biggest larger largest smaller smallest leftmost rightmost"
)
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *WORDS.split(),
    *COLOURS,
    *LABELS,
]


def tiny_text_encoder(folder: Path) -> Path:
    """A two-layer BERT with random weights, as transformers saves it, and its `vocab.txt`."""
    source = folder / "text-encoder"
    if not source.exists():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(VOCAB),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
        BertModel(config).save_pretrained(source)
        (source / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return source


def tiny_vision_weights(folder: Path) -> Path:
    """Random weights for the vision encoder that let an image's signal through to its outputs."""
    path = folder / "vision.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        net = ESNet()
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        save_file(net.state_dict(), path)
    return path


def tiny_detector_weights(folder: Path) -> Path:
    """The same encoder with a random detection head, whose places differ clearly."""
    path = folder / "detector.safetensors"
    if not path.exists():
        encoder = load_file(tiny_vision_weights(folder))
        torch.manual_seed(0)
        head = DetectionHead()
        for module in head.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        for level in head.levels:
            level[-1].weight.data *= 0.5
        parts = {ENCODER_PART: encoder, HEAD_PART: head.state_dict()}
        save_file({f"{p}{n}": t for p, part in parts.items() for n, t in part.items()}, path)
    return path


def tiny_config(folder: Path, **changes: Any) -> TrainConfig:
    """Settings of a run with the tiny encoders; `changes` override single fields."""
    settings = {
        "vision_weights": str(tiny_vision_weights(folder)),
        "text": str(tiny_text_encoder(folder)),
        "image_size": IMAGE_SIZE,
        "dim": 16,
        "bottleneck": 8,
        "layers": 2,
        "second_neck": False,
        "fast_math": "off",
    }
    if changes.get("fusion", CANDIDATES) == CANDIDATES:
        settings["vision_weights"] = str(tiny_detector_weights(folder))
    return TrainConfig(**(settings | changes))


def tiny_training(folder: Path, epochs: int, *more: object) -> list[str]:
    """Arguments of a run of six steps a pass on `tiny_data`, and those that win over them.

    `--out` is left to the caller.
    """
    config = tiny_config(folder)
    flags = {
        "--data": folder / "data",
        "--vocab": tiny_text_encoder(folder) / "vocab.txt",
        "--vision-weights": config.vision_weights,
        "--text": config.text,
        "--image-size": config.image_size,
        "--dim": config.dim,
        "--layers": config.layers,
        "--fast-math": "off",
        "--threads": 1,
        "--batch-photos": 2,
        "--epochs": epochs,
    }
    return [str(part) for part in (*(part for pair in flags.items() for part in pair), *more)]


def rows(path: Path) -> list[dict[str, str]]:
    """Of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@contextmanager
def kept_for_backward() -> Iterator[list[torch.Tensor]]:
    """The tensors that autograd keeps in the block."""
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def tiny_model(folder: Path, **changes: Any) -> GroundingModel:
    """A model with random weights everywhere: no layer is left at its zero start."""
    model = build_model(tiny_config(folder, **changes))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.adapter_params().items():
            if not parameter.any():  # LoRA changes every layer: the signal must not explode
                parameter.normal_(0, 0.02 if ".lora_B." in name else 1, generator=generator)
        if isinstance(model.fusion, CandidatesFusion):
            for head in (model.fusion.match_head, model.fusion.head, model.fusion.presence):
                head[-1].weight.normal_(generator=generator)
            if model.fusion.detections is not None:
                # A phrase names one class clearly, or all cells would look alike to the detector.
                model.fusion.detections.name.weight.normal_(0, 5, generator=generator)
        for name, statistic in model.adapter_state().items():
            if name.endswith(("running_mean", "running_var")):
                statistic.uniform_(0.5, 2, generator=generator)
    return model


def tiny_checkpoint(folder: Path, **changes: Any) -> Path:
    """A checkpoint as the trainer writes it; its `average` is what `tiny_model` gives."""
    model = tiny_model(folder, **changes)
    values = model.adapter_state()
    path = folder / "run" / "checkpoint.safetensors"
    groups = {"model": {n: torch.zeros_like(t) for n, t in values.items()}, "average": values}
    state = {"step": 3, "frozen_sha256": frozen_sha256(model)}
    save_checkpoint(path, groups, tiny_config(folder, **changes), state)
    return path


def tiny_data(folder: Path, photos: int = 6, *, own: bool = False) -> Path:
    """A data folder as `train.data.readers` wants it; photos are coloured boxes on grey noise.

    `own`: in the form of one's own data, whose questions are made from it: no list is frozen.
    """
    root = folder / "data"
    captions, detection = root / "flickr30k_entities", root / "detection"
    for images in (captions / "images", detection / "images"):
        images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        names = (f"{split}{index}.png" for index in range(photos))
        records = [_caption_photo(captions, name, rng) for name in names]
        if own:
            lines = [line for record in records for line in _own_lines(record)]
            _write_jsonl(root / f"{split}.jsonl", lines)
        else:
            _write_jsonl(captions / f"{split}.jsonl", records)
    names = [*_detection_names(photos, held_back=False), *_detection_names(photos, held_back=True)]
    _write_jsonl(detection / "boxes.jsonl", [_labelled_photo(detection, n, rng) for n in names])
    return root


def _caption_photo(folder: Path, name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Two phrases with a box each and one with both; the third noun is not in the photo."""
    nouns = rng.permutation(list(COLOURS)).tolist()[:2]
    boxes = _draw(folder / "images" / name, [COLOURS[noun] for noun in nouns], rng)
    asked = {f"a {noun}": [box] for noun, box in zip(nouns, boxes, strict=True)}
    phrases = [
        {"phrase": text, "types": ["other"], "entity": text, "boxes": named}
        for text, named in (asked | {"the things": boxes}).items()
    ]
    return {"image": name, "width": 96, "height": 80, "phrases": phrases}


def _own_lines(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each phrase with one box, in pixels."""
    image = f"flickr30k_entities/images/{record['image']}"
    scale = np.array([record["width"], record["height"]] * 2)
    return [
        {"image": image, "phrase": phrase["phrase"], "box": (scale * phrase["boxes"][0]).tolist()}
        for phrase in record["phrases"]
        if len(phrase["boxes"]) == 1
    ]


def _labelled_photo(folder: Path, name: str, rng: np.random.Generator) -> dict[str, Any]:
    label = LABELS[int(rng.integers(len(LABELS)))]
    boxes = _draw(folder / "images" / name, list(COLOURS.values())[:2], rng)
    objects = [{"label": label, "box": box} for box in boxes]
    return {"image": name, "source": "generated", "objects": objects}


def _draw(
    path: Path, colours: list[tuple[int, int, int]], rng: np.random.Generator
) -> list[list[float]]:
    """Write a 96 x 80 photo with one box in its left and one in its right half: xyxy fractions."""
    image = rng.integers(90, 160, (80, 96, 3)).astype(np.uint8)
    boxes = []
    for half, colour in enumerate(colours):
        x1, y1 = 48 * half + int(rng.integers(2, 14)), int(rng.integers(4, 24))
        x2, y2 = x1 + int(rng.integers(16, 32)), y1 + int(rng.integers(24, 50))
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, -1)
        boxes.append([x1 / 96, y1 / 80, x2 / 96, y2 / 80])
    cv2.imwrite(str(path), image)
    return boxes


def _detection_names(wanted: int, *, held_back: bool) -> Iterator[str]:
    for index in count():
        name = f"scene{index}.png"
        if wanted and is_held_back(name) == held_back:
            wanted -= 1
            yield name
        if not wanted:
            return


def _write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
