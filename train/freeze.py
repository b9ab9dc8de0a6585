"""`python -m train.freeze`: split a run that trained its encoder into encoder and side network.

    compact_vision.safetensors       the encoder, which later runs load frozen (--vision-weights)
    default_checkpoint.safetensors   side network, fusion and head on top of it, for export and for
                                     --side-weights

Both are the run's averaged weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

from safetensors.torch import save_file

from sdk.files import replacing
from train.build import SHIPPED_VISION_WEIGHTS, build_model
from train.checkpoint import (
    CheckpointError,
    frozen_sha256,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
)
from train.encoders.esnet import ESNet

PREFIX = "vision.net."
SIDE_NAME = "default_checkpoint.safetensors"


def freeze(checkpoint: Path, folder: Path) -> tuple[Path, Path]:
    """Write the two files into `folder`; returns their paths, the encoder's first.

    Raises:
        CheckpointError: not a checkpoint, or one of a run whose encoder did not train.
    """
    groups, config, state = load_checkpoint(checkpoint)
    average = groups["average"]
    weights = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in average.items()
        if name.startswith(PREFIX)
    }
    if weights.keys() != ESNet().state_dict().keys():
        raise CheckpointError(
            f"{checkpoint} holds no trained vision encoder; expected a run with --unfreeze-vision"
        )
    folder.mkdir(parents=True, exist_ok=True)
    vision, side = folder / SHIPPED_VISION_WEIGHTS["default"].name, folder / SIDE_NAME
    with replacing(vision) as temporary:
        save_file(weights, temporary, {"step": str(state["step"])})
    shipped = vision.resolve() == SHIPPED_VISION_WEIGHTS["default"].resolve()
    config = dataclasses.replace(
        config,
        unfreeze_vision=False,
        augment=False,
        side_weights="",
        vision_weights="default" if shipped else str(vision.resolve()),
    )
    model = build_model(config)
    load_parameters(model, average, only_matching=True)
    state = {"step": state["step"], "frozen_sha256": frozen_sha256(model)}
    save_checkpoint(side, {"average": model.adapter_state()}, config, state)
    return vision, side


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.freeze", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--out", type=Path, default=SHIPPED_VISION_WEIGHTS["default"].parent, help="folder"
    )
    args = parser.parse_args(argv)
    try:
        for path in freeze(args.checkpoint, args.out):
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    except (CheckpointError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
