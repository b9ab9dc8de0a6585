"""What a training step costs: parameters, bytes kept for the backward pass, time."""

from __future__ import annotations

import resource
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


def measure(
    model: nn.Module, forward: Callable[[], object], step: Callable[[], object], steps: int = 5
) -> Cost:
    """Cost of `step`, a whole training step of `model` whose first half is `forward`."""
    step()  # warm: phrases kept, optimiser state made
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return Cost(
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        total=sum(p.numel() for p in model.parameters()),
        saved_bytes=saved_bytes(forward, model),
        step_ms=statistics.median(times),
    )


def peak_bytes() -> int:
    """Most memory of this process so far: of the GPU where there is one, else of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_trainer(trainer: Trainer, batch: Batch) -> Cost:
    """Cost of a trainer's step on `batch`; the steps are real, the trainer is not to be used on."""
    step, forward = lambda: trainer.train_step(batch), lambda: trainer.loss(batch)
    return measure(trainer.model, forward, step)
