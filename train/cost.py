"""What a training step costs: parameters, bytes kept for the backward pass, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.data.dataset import Batch
from train.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Cost:
    """One method on one batch.

    `trained` and `total` count parameters, `saved_bytes` is what autograd keeps between forward and
    backward, `step_ms` the median time of a whole step.
    """

    trained: int
    total: int
    saved_bytes: int
    step_ms: float


def saved_bytes(forward: Callable[[], object], model: nn.Module) -> int:
    """Bytes that autograd keeps while `forward` runs: each memory once, none of the model's own."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is given out twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(kept.values())


def measure(trainer: Trainer, batch: Batch, steps: int = 5) -> Cost:
    """Cost of a trainer's step on `batch`; the steps are real, the trainer is not to be used on."""
    trainer.train_step(batch)  # warm: phrases kept, optimiser state made
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        trainer.train_step(batch)
        times.append(1000 * (time.perf_counter() - start))
    return Cost(
        trained=sum(p.numel() for p in trainer.params.values()),
        total=sum(p.numel() for p in trainer.model.parameters()),
        saved_bytes=saved_bytes(lambda: trainer.loss(batch), trainer.model),
        step_ms=statistics.median(times),
    )
