"""Build a bundle that `sdk` runs, from a training checkpoint.

Exports the vision, text and fusion graphs, proves them equal to the PyTorch model, reduces them to
FP16 or INT8 as the target wants them, keeps what is faster here and as accurate, calibrates the
scores, compiles TensorRT engines where asked to, and writes it all with its figures to one folder.

A finished bundle is compiled for another device by `grounder compile`: that needs no checkpoint.

Exit code 0: built. 1: a gate failed, nothing was written. 2: bad input, with what to do about it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: this folder is first on the path, its parent is not there
    sys.path = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "export")]
# What needs no PyTorch.
from export.targets import TARGETS, Target  # noqa: E402
from sdk.backends.tensorrt.library import load_library  # noqa: E402
from sdk.errors import GroundingError  # noqa: E402
from train.locations import add_location_flags, given_locations  # noqa: E402


def build_parser(targets: Collection[str]) -> argparse.ArgumentParser:
    """Every setting of a build."""
    parser = argparse.ArgumentParser(
        prog="build_engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, help="of `python -m train`")
    parser.add_argument("--out", type=Path, help="folder of the bundle, replaced")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--name", help="name of the bundle (default: that of its folder)")
    parser.add_argument(
        "--target",
        choices=targets,
        default="cpu",
        help="what will run it; tensorrt builds on its GPU, -rtx anywhere (default: cpu)",
    )
    parser.add_argument(
        "--precisions", help="as fp32,int8: fp32 and what to try (default: all of the target's)"
    )
    parser.add_argument(
        "--text-precision",
        help="of the one text graph of all precisions, by far the biggest (default: int8; fp16 for "
        "TensorRT)",
    )
    parser.add_argument(
        "--calibration-photos",
        type=int,
        default=200,
        help="training photos that INT8 ranges are taken from (default: %(default)s)",
    )
    parser.add_argument(
        "--eval-photos",
        type=int,
        default=0,
        help="validation photos to measure on, 0 = all; fewer are for quick tries",
    )
    parser.add_argument("--vocab", type=Path, help="BERT vocabulary (default: the shipped one)")
    add_location_flags(parser)
    parser.add_argument("--licence", default="unspecified", help="of the weights, for the manifest")
    parser.add_argument("--training-data", default="unspecified", help="for the manifest")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be tried and why; reads no files"
    )
    return parser


def check_usage(args: argparse.Namespace, target: Target) -> None:
    """Fill in the target's defaults. Raises GroundingError, also without its library."""
    for name in ("checkpoint", "out"):
        if getattr(args, name) is None and not args.dry_run:
            raise GroundingError(f"--{name}: expected a path, got none; only --dry-run needs none")
    known = target.precisions
    args.precisions = tuple(dict.fromkeys(args.precisions.split(","))) if args.precisions else known
    if args.precisions[0] != "fp32" or not set(args.precisions) <= set(known):
        raise GroundingError(
            f"--precisions: expected fp32, then any other of {', '.join(known)}, got "
            f"{','.join(args.precisions)!r}; FP32 is what the others are judged against"
        )
    args.text_precision = args.text_precision or target.text_precision
    if args.text_precision not in target.text_precisions:
        raise GroundingError(
            f"--text-precision: expected one of {', '.join(target.text_precisions)}, got "
            f"{args.text_precision!r}"
        )
    if args.calibration_photos < 1:
        raise GroundingError(
            f"--calibration-photos: expected at least 1, got {args.calibration_photos}"
        )
    if args.eval_photos < 0:
        raise GroundingError(f"--eval-photos: expected 0 or more, got {args.eval_photos}")
    if target.library:
        load_library(target.library).target()


def main(argv: list[str] | None = None) -> int:
    """Exit code as described above."""
    args = build_parser(TARGETS).parse_args(argv)
    target = TARGETS[args.target]
    try:
        check_usage(args, target)
    except GroundingError as error:
        return _fail(error, 2)
    if args.dry_run:
        print(target.describe(args.precisions, args.text_precision))
        return 0
    try:
        from export.pipeline import build
        from export.plan import Inputs, Plan
        from train.build import DEFAULT_VOCAB
        from train.data.readers import data_root
    except ImportError as error:
        fix = "pip install torch==2.13.0 and then pip install -e '.[export]'"
        return _fail(f"{error}; building a bundle needs the packages of training: {fix}", 2)
    try:
        plan = Plan(
            checkpoint=args.checkpoint,
            out=args.out.resolve(),
            data=data_root(args.data),
            vocab=args.vocab or DEFAULT_VOCAB,
            name=args.name or args.out.resolve().name,
            target=target,
            precisions=args.precisions,
            text_precision=args.text_precision,
            calibration_photos=args.calibration_photos,
            eval_photos=args.eval_photos,
            licence=args.licence,
            training_data=args.training_data,
            locations=given_locations(args),
        )
        inputs = Inputs(plan)
    except (GroundingError, ValueError, OSError) as error:
        return _fail(error, 2)
    try:
        build(plan, inputs)
    except GroundingError as error:
        return _fail(f"{error}\nnothing was written to {plan.out}", 1)
    except OSError as error:
        return _fail(error, 2)
    print(f"bundle: {plan.out}")
    return 0


def _fail(error: Exception | str, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
