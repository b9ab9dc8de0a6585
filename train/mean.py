"""`python -m train.mean`: the weights between two published models.

    python -m train.mean before.safetensors after.safetensors mean.safetensors --share 0.6

A run that began with the first one's weights and the first one itself make different mistakes; a
model between them is often better than either (Wortsman et al., "Model soups", arXiv:2203.05482).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

from train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from train.session import halved


def mean(first: Path, second: Path, out: Path, share: float) -> None:
    """Write (1 - share) * first + share * second, in half precision, with the second's settings.

    Raises:
        CheckpointError: one is no published model, or they are not of one architecture and encoder.
        OSError: `out` cannot be written.
    """
    (groups, _, about), (others, config, state) = map(load_checkpoint, (first, second))
    before, after = groups["average"], others["average"]
    shapes = [{name: t.shape for name, t in group.items()} for group in (before, after)]
    if shapes[0] != shapes[1] or about["frozen_sha256"] != state["frozen_sha256"]:
        raise CheckpointError(
            f"{first}, {second}: expected two models of the same settings on the same encoders"
        )
    between = {name: before[name].float().lerp(t.float(), share) for name, t in after.items()}
    save_checkpoint(out, {"average": halved(between)}, config, state)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m train.mean", description="Write the weights between two published models."
    )
    parser.add_argument("first", type=Path, help="of `python -m train.session publish`")
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the second, 0 to 1 (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    if not 0 <= args.share <= 1:
        parser.error(f"--share: expected a number from 0 to 1, got {args.share}")
    try:
        mean(args.first, args.second, args.out, args.share)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
