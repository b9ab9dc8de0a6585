"""`python -m train.freeze`: take the trained vision encoder out of a run with --unfreeze-vision.

The file it writes is what later runs load as their frozen encoder (`--vision-weights`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from safetensors.torch import save_file

from train.build import DEFAULT_VISION_WEIGHTS
from train.checkpoint import CheckpointError, load_checkpoint
from train.encoders.esnet import ESNet

PREFIX = "vision.net."


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.freeze", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=DEFAULT_VISION_WEIGHTS)
    args = parser.parse_args(argv)
    try:
        groups, _, state = load_checkpoint(args.checkpoint)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    weights = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in groups["average"].items()
        if name.startswith(PREFIX)
    }
    if weights.keys() != ESNet().state_dict().keys():
        print(
            f"error: {args.checkpoint} holds no trained vision encoder; expected a run with "
            "--unfreeze-vision",
            file=sys.stderr,
        )
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_suffix(".tmp")
    save_file(weights, temporary, {"step": str(state["step"])})
    temporary.replace(args.out)
    print(f"{args.out}: {sum(t.numel() for t in weights.values()):,} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
