"""Checkpoints: safetensors with a JSON header, written under a temporary name and renamed.

`model.*` holds the trained parameters, `average.*` their exponential moving average, `adam.*` the
optimiser's moments. The header holds the config and the step, so a run resumes exactly.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sdk._internal.files import replacing
from sdk.errors import GroundingError
from train.config import TrainConfig
from train.model import GroundingModel

ENCODER_PREFIXES = ("vision.", "text.", "detector.")
"""How the names of the parameters begin that come with the encoders."""


class CheckpointError(GroundingError):
    """A checkpoint is absent, damaged or belongs to another configuration."""


def save_checkpoint(
    path: Path,
    groups: Mapping[str, Mapping[str, Tensor]],
    config: TrainConfig,
    state: dict[str, Any],
) -> None:
    """Write `groups` (prefix -> name -> tensor) atomically.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {
        f"{prefix}.{name}": t.detach().contiguous()
        for prefix, group in groups.items()
        for name, t in group.items()
    }
    metadata = {"config": json.dumps(config.to_dict()), "state": json.dumps(state)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        write_tensors(tensors, temporary, metadata)


def write_tensors(
    tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """`safetensors.torch.save_file`.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], TrainConfig, dict[str, Any]]:
    """The inverse of `save_checkpoint`: groups, config and state.

    Raises:
        CheckpointError: the file is absent or not a checkpoint of this project.
    """
    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint, got {path}, which does not exist")
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            config = TrainConfig(**json.loads(metadata["config"]))
            state = json.loads(metadata["state"])
            for key in file.keys():  # noqa: SIM118, the handle is no dict
                prefix, name = key.split(".", 1)
                groups.setdefault(prefix, {})[name] = file.get_tensor(key)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of this project: {error}") from error
    return groups, config, state


def weights_sha256(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """One hash of named tensors, whatever their order."""
    digest = sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def frozen_sha256(model: nn.Module) -> str:
    """Hash of what does not train, which a checkpoint does not hold but depends on."""
    return weights_sha256((n, p) for n, p in model.named_parameters() if not p.requires_grad)


def check_frozen(frozen: str, state: Mapping[str, Any], path: Path) -> None:
    """Raises CheckpointError when `frozen`, see `frozen_sha256`, is not the checkpoint's own."""
    if state.get("frozen_sha256") != frozen:
        raise CheckpointError(
            f"{path} was trained on other frozen encoders than the ones loaded now: give the "
            "--vision-weights and --text it was trained with, or train again"
        )


def load_start(model: GroundingModel, path: Path, fusion: str) -> None:
    """Start side network and fusion from the averaged weights of a checkpoint.

    Parts of the fusion that the file lacks keep their random start, and so does all of it where the
    file has another kind of fusion. Side networks of other frozen encoders are a poor start: that
    is a warning.

    Args:
        path: the checkpoint to start from.
        fusion: the kind that `model` has, see `TrainConfig.fusion`.

    Raises:
        CheckpointError: see `load_checkpoint` and `load_parameters`, or the encoder trained in
            `path` and is frozen in `model`.
    """
    groups, config, about = load_checkpoint(path)
    trains = any(name.startswith("vision.") for name in model.adapter_params())
    if config.trains_vision and not trains:
        raise CheckpointError(
            f"--side-weights: expected a side network on a frozen encoder, got {path}, whose "
            "encoder trained: give --unfreeze-vision, or its parts that `python -m train.session "
            "freeze` writes"
        )
    if not trains and about.get("frozen_sha256") != frozen_sha256(model):
        warnings.warn(
            f"--side-weights: {path} belongs to other encoders than --vision-weights and --text",
            stacklevel=2,
        )
    values = {name: value.float() for name, value in groups["average"].items()}
    if config.fusion != fusion:
        values = {n: v for n, v in values.items() if not n.startswith("fusion.")}
    state = model.adapter_state().items()
    random = {name: value.detach() for name, value in state if name.startswith("fusion.")}
    load_parameters(model, random | values, only_matching=True)


@torch.no_grad()
def load_parameters(
    model: GroundingModel, values: Mapping[str, Tensor], *, only_matching: bool = False
) -> None:
    """Copy `values` into what trains of the same name, see `GroundingModel.adapter_state`.

    With `only_matching`, names the model does not train are ignored, and an encoder that trains but
    is not in `values` stays as it was loaded from its own file.

    Raises:
        CheckpointError: a parameter is missing from `values` or has another shape.
    """
    wanted = model.adapter_state()
    if only_matching:
        encoders = {n for n in wanted if n.startswith(ENCODER_PREFIXES)} - values.keys()
        wanted = {name: p for name, p in wanted.items() if name not in encoders}
    missing = sorted(wanted.keys() - values.keys())
    unknown = sorted(values.keys() - wanted.keys())
    if missing or (unknown and not only_matching):
        raise CheckpointError(
            f"the checkpoint does not fit the model: missing {missing[:3]}, unknown {unknown[:3]}"
        )
    for name, parameter in wanted.items():
        if parameter.shape != values[name].shape:
            raise CheckpointError(
                f"{name}: expected shape {tuple(parameter.shape)}, got {tuple(values[name].shape)}"
            )
        parameter.copy_(values[name])
