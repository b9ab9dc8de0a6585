"""A run's state in its checkpoint: written while it trains, taken up when it starts again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sdk._internal.files import TEMPORARY
from train.checkpoint import (
    CheckpointError,
    check_frozen,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
)
from train.config import TrainConfig
from train.runlog import ACCURACY, LOSS

if TYPE_CHECKING:
    from train.trainer import Trainer

CHECKPOINT = "checkpoint.safetensors"
"""The file in a run's folder."""


def without_starting_files(config: TrainConfig) -> TrainConfig:
    """`config` of a run that has a checkpoint, which holds everything that trains.

    The files it started from need not exist any more.
    """
    weights = "random" if config.trains_vision else config.vision_weights
    return dataclasses.replace(config, side_weights="", vision_weights=weights)


def save_run(run: Trainer) -> None:
    """Write parameters, average, AdamW's moments and what resuming checks."""
    moments: dict[str, Tensor] = {}
    for name, p in run.params.items():
        for key, value in run.optimizer.state.get(p, {}).items():
            moments[f"{key}.{name}"] = value
    groups = {"model": run.model.adapter_state(), "average": run.average, "adam": moments}
    state = {
        "step": run.step,
        "moments_since": run.moments_since,
        "processes": run.world,
        "photos": len(run.batches.photos),
        "frozen_sha256": run.frozen_sha256,
    }
    save_checkpoint(run.checkpoint, groups, run.config, state)


def resume_run(run: Trainer) -> None:
    """Continue at the step of the run's checkpoint; at step 0 where there is none.

    Raises:
        CheckpointError: the checkpoint is damaged, or of a run with other settings, encoders,
            photos or processes.
    """
    if run.checkpoint.is_file():
        _load_state(run)
    run.accelerator.wait_for_everyone()
    if run.accelerator.is_main_process:
        run.log.take_back(run.step)
        for name in (CHECKPOINT, LOSS, ACCURACY):
            for left in run.out.glob(f"{name}.*{TEMPORARY}"):
                left.unlink()  # of a process that was killed while it wrote


def _load_state(run: Trainer) -> None:
    path = run.checkpoint
    groups, config, state = load_checkpoint(path)
    if config != run.config:
        raise CheckpointError(
            f"{path} was made with other settings; give another --out, or delete it"
        )
    check_frozen(run.frozen_sha256, state, path)
    photos = len(run.batches.photos)
    for name, own in (("processes", run.world), ("photos", photos)):
        # Checkpoints of earlier versions name no photos.
        if (other := state.get(name, 1 if name == "processes" else own)) != own:
            raise CheckpointError(
                f"{path}: expected a run with {other} {name}, this one has {own}: its steps would "
                f"be other photos; start it with as many {name}, or give another --out"
            )
    load_parameters(run.model, groups["model"])
    for name, value in run.average.items():
        value.copy_(groups["average"][name])
    for key, value in groups.get("adam", {}).items():
        kind, name = key.split(".", 1)
        p = run.params[name]
        # AdamW keeps its step on the CPU, its moments as the parameter lies in memory.
        own_moment = value if kind == "step" else torch.empty_like(p).copy_(value)
        run.optimizer.state[p][kind] = own_moment
    run.step = run.saved_step = int(state["step"])
    run.moments_since = int(state.get("moments_since", 0))
    run.accelerator.step = run.step  # where the accumulation of gradients stands
