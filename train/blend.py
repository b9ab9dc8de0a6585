"""`python -m train.blend BEFORE AFTER`: weights between those before and after a further training.

A run that starts from trained weights and sees other data gains on that data and forgets some of
the rest. Weights in between often keep most of both (WiSE-FT, Wortsman et al., arXiv:2109.01903),
and cost nothing at run time. The result is a checkpoint like any other.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def blend(before: Path, after: Path, share: float, out: Path) -> None:
    """Write `share` of `after`'s averaged weights plus the rest of `before`'s, with its settings.

    Raises:
        CheckpointError: not a checkpoint, or two that hold other weights or frozen encoders.
    """
    (old, _, old_state), (new, config, state) = load_checkpoint(before), load_checkpoint(after)
    first, second = old["average"], new["average"]
    shapes = [{name: tensor.shape for name, tensor in group.items()} for group in (first, second)]
    if shapes[0] != shapes[1] or old_state["frozen_sha256"] != state["frozen_sha256"]:
        raise CheckpointError(
            f"{before} and {after} hold other weights or stand on other frozen encoders; expected "
            "two runs of one model, the second started from the first"
        )
    blended = {name: tensor.lerp(second[name], share) for name, tensor in first.items()}
    save_checkpoint(out, {"average": blended}, config, state)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.blend", description=__doc__)
    parser.add_argument("before", type=Path, help="checkpoint that the further run started from")
    parser.add_argument("after", type=Path, help="checkpoint of the further run")
    parser.add_argument("--share", type=float, default=0.5, help="of AFTER, 0 to 1 (default: 0.5)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    args = parser.parse_args(argv)
    try:
        if not 0 <= args.share <= 1:
            raise ValueError(f"--share: expected a number from 0 to 1, got {args.share}")
        blend(args.before, args.after, args.share, args.out)
    except (CheckpointError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
