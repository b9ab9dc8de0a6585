"""A run's state in its checkpoint: written while it trains, taken up when it starts again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdk._internal.files import remove_unfinished
from train.checkpoint import (
    CheckpointError,
    check_frozen,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
)
from train.config import TrainConfig
from train.encoders.esnet import ESNet
from train.fusion.detections import DetectionHead
from train.locations import ENCODER_LOCATIONS
from train.losses.forgetting import FrozenDetector
from train.runlog import ACCURACY, LOSS

if TYPE_CHECKING:
    from train.trainer import Trainer

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
"""The files in a run's folder: the last state, and the averaged weights that validated best."""
LENGTH = ("epochs", "steps")
"""Settings that a run may go on with changed, also after its end."""
SHARES = ("batch_photos", "accumulate")
"""And these, where another number of processes shares the photos."""


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
    if run.before is not None:
        groups["before"] = run.before.state_dict()
    state = {
        "step": run.step,
        "moments_since": run.moments_since,
        "processes": run.world,
        "photos": run.items,
        "frozen_sha256": run.frozen_sha256,
    }
    save_checkpoint(run.checkpoint, groups, run.config, state)


def save_best(run: Trainer, accuracy: float) -> None:
    """Write the averaged weights, to export or to start from, with what they reached."""
    state = {"step": run.step, "frozen_sha256": run.frozen_sha256, "accuracy": accuracy}
    save_checkpoint(run.out / BEST, {"average": run.average}, run.config, state)


def check_resumable(run: Trainer) -> None:
    """Whether the run can be written and, where it has a checkpoint, go on from it.

    Encoders may lie elsewhere: whether they are the same is seen when they are loaded.

    Raises:
        CheckpointError: the checkpoint is damaged, or of a run with other settings or photos, or
            has more steps than are asked for.
        OSError: the folder cannot be written.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    if not run.checkpoint.is_file():
        return
    path, (_, config, state) = run.checkpoint, load_checkpoint(run.checkpoint)
    free = [*ENCODER_LOCATIONS, *LENGTH, *(SHARES if processes(state) != run.world else ())]
    if dataclasses.replace(config, **{n: getattr(run.config, n) for n in free}) != run.config:
        raise CheckpointError(
            f"{path} was made with other settings; give another --out, or delete it"
        )
    if (photos := state.get("photos", run.items)) != run.items:  # earlier versions name none
        raise CheckpointError(
            f"{path}: expected a run with {photos} photos, this one has {run.items}: its steps "
            "would be other photos; give another --out"
        )
    if (step := Position(run, config, state)(state["step"])) > run.total_steps:
        raise CheckpointError(
            f"{path} has {step} steps, more than the {run.total_steps} asked for: raise --epochs "
            "or --steps to go on, or give another --out"
        )


def processes(state: Mapping[str, Any]) -> int:
    """How many shared the photos."""
    return int(state.get("processes", 1))


class Position:
    """A step of the run that wrote a checkpoint -> the step of this run that has seen as much.

    They differ where another number of processes shares the photos: a pass has other steps then. A
    run of a number of `steps` keeps them.
    """

    def __init__(self, run: Trainer, config: TrainConfig, state: Mapping[str, Any]) -> None:
        self._mine = run.config.batch_photos * run.world
        self._theirs = config.batch_photos * processes(state)
        self._photos = run.items
        self.moves = self._mine != self._theirs and not run.config.steps

    def __call__(self, step: int) -> int:
        if not self.moves:
            return step
        passes, within = divmod(step, self._photos // self._theirs)
        mine = self._photos // self._mine
        return passes * mine + min(within * self._theirs // self._mine, mine)


def resume_run(run: Trainer) -> None:
    """Continue at the step of the run's checkpoint; at step 0 where there is none.

    See `check_resumable`, which comes before.

    Raises:
        CheckpointError: the checkpoint is of other frozen encoders.
    """
    if run.checkpoint.is_file():
        _load_state(run)
    run.accelerator.wait_for_everyone()
    if run.accelerator.is_main_process:
        run.log.take_back(run.step)
        for name in (CHECKPOINT, BEST, LOSS, ACCURACY):
            remove_unfinished(run.out / name)


def _load_state(run: Trainer) -> None:
    path = run.checkpoint
    groups, config, state = load_checkpoint(path)
    check_frozen(run.frozen_sha256, state, path)
    load_parameters(run.model, groups["model"])
    for name, value in run.average.items():
        value.copy_(groups["average"][name])
    if "before" in groups:
        run.before = FrozenDetector(ESNet(), DetectionHead())
        run.before.load_state_dict(groups["before"])
        run.place(run.before)
    for key, value in groups.get("adam", {}).items():
        kind, name = key.split(".", 1)
        p = run.params[name]
        # AdamW keeps its step on the CPU, its moments as the parameter lies in memory.
        own_moment = value if kind == "step" else torch.empty_like(p).copy_(value)
        run.optimizer.state[p][kind] = own_moment
    here = Position(run, config, state)
    run.step = run.saved_step = here(state["step"])
    run.moments_since = here(state.get("moments_since", 0))
    if here.moves and run.accelerator.is_main_process:
        run.log.take_back(state["step"])
        run.log.renumber(here)
    run.accelerator.step = run.step  # where the accumulation of gradients stands
