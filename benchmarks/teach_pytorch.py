"""A lesson as PyTorch would learn it, for `benchmarks/teach.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sdk import Grounder
from sdk.bundle.contract import FUSION
from sdk.geometry.boxes import cxcywh_to_xyxy, iou_xyxy, xyxy_to_cxcywh
from sdk.lessons.background import FILE_NAME, Background
from sdk.lessons.lesson import NOUN_SHARE
from sdk.lessons.looks import looks
from sdk.lessons.teacher import PENALTY, Example, Rows, Teacher
from sdk.teaching import asking
from train.data.samples import Box

Shown = tuple[Path, Box]


class Network(nn.Module):
    """What PyTorch would make of the same rows: a hidden layer beside the linear one."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.hidden = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return (self.linear(rows) + self.hidden(rows)).squeeze(-1)


def trained(teacher: Teacher, frames: Sequence[Rows]) -> Network:
    """AdamW on the rows that the regression has."""
    torch.manual_seed(0)
    rows, labels, offsets, weights = (
        torch.from_numpy(np.asarray(part, np.float32)) for part in teacher.table(frames)
    )
    network = Network(rows.shape[1])
    decay = PENALTY * len(frames) / float(weights.sum())
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=decay)
    for _ in range(400):
        losses = nn.functional.binary_cross_entropy_with_logits(
            network(rows) + offsets, labels, weight=weights, reduction="sum"
        )
        optimizer.zero_grad()
        (losses / weights.sum()).backward()
        optimizer.step()
    return network


def right_boxes(
    grounder: Grounder, bundle: Path, noun: str, shown: Sequence[Shown], tested: Sequence[Shown]
) -> list[bool]:
    """Whether each tested box is right with what PyTorch learns of the examples."""
    ask = asking(grounder.sessions[FUSION.name], grounder.encode_phrases)
    teacher = Teacher(ask, Background.load(bundle / FILE_NAME))
    phrase = f"the {noun}"
    frames = []
    for path, box in shown:
        with grounder.encode(path) as view:
            example = Example(view.visual_tokens.astype(np.float16), fractions(box))
            frames.append(teacher.rows(example, noun))
    network = trained(teacher, frames)
    right = []
    for path, box in tested:
        with grounder.encode(path) as view:
            boxes, logits = (part[0] for part in teacher.ask(view.visual_tokens, [phrase]))
            white = teacher.background.whitened(looks(view.visual_tokens, boxes))
        with torch.no_grad():
            more = network(torch.from_numpy(white.astype(np.float32))).numpy()
        best = cxcywh_to_xyxy(boxes[(NOUN_SHARE * logits + more).argmax()])
        right.append(bool(iou_xyxy([box], [best])[0, 0] >= 0.5))
    return right


def fractions(box: Box) -> NDArray[np.float32]:
    return xyxy_to_cxcywh(np.array(box, np.float32))
