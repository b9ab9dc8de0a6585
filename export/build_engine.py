"""Build a bundle that `sdk` runs, from a training checkpoint.

Exports the vision, text and fusion graphs, proves them equal to the PyTorch model, quantises them
to INT8 and keeps INT8 where it is faster here and as accurate, calibrates the scores, and writes it
all with its figures to one folder.

Exit code 0: built. 1: a gate failed, nothing was written. 2: bad input, with what to do about it.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: this folder is first on the path, its parent is not there
    sys.path = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "export")]

TARGETS = ("cpu", "tensorrt")
PRECISIONS = ("fp32", "int8")
NO_TENSORRT = (
    "TensorRT is not installed: pip install tensorrt (on a Jetson it comes with JetPack: make the "
    "environment with python3 -m venv --system-site-packages and do not install it with pip)"
)
NO_COMPILER = (
    "TensorRT is installed, but this version cannot compile engines yet. Build with --target cpu: "
    "the same ONNX graphs run on an NVIDIA GPU through ONNX Runtime with device='cuda'"
)


class UsageError(Exception):
    """The command line asks for something that cannot be done."""


def build_parser() -> argparse.ArgumentParser:
    """Every setting of a build."""
    parser = argparse.ArgumentParser(
        prog="build_engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of `python -m train`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle, replaced")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--name", help="name of the bundle (default: that of its folder)")
    parser.add_argument("--target", choices=TARGETS, default="cpu")
    parser.add_argument(
        "--precisions", default="fp32,int8", help="fp32 or fp32,int8 (default: %(default)s)"
    )
    parser.add_argument(
        "--text-precision",
        choices=PRECISIONS,
        default="int8",
        help="the one text graph of all precisions; FP32 is four times as big (default: int8)",
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
    parser.add_argument("--licence", default="unspecified", help="of the weights, for the manifest")
    parser.add_argument("--training-data", default="unspecified", help="for the manifest")
    parser.add_argument("--dry-run", action="store_true", help="check all inputs, build nothing")
    return parser


def check_usage(args: argparse.Namespace) -> tuple[str, ...]:
    """The precisions. Raises UsageError."""
    precisions = tuple(dict.fromkeys(args.precisions.split(",")))
    if precisions[0] != "fp32" or not set(precisions) <= set(PRECISIONS):
        raise UsageError(
            f"--precisions: expected fp32 or fp32,int8, got {args.precisions!r}; INT8 is judged "
            "against FP32, so FP32 is always built"
        )
    if args.calibration_photos < 1:
        raise UsageError(
            f"--calibration-photos: expected at least 1, got {args.calibration_photos}"
        )
    if args.eval_photos < 0:
        raise UsageError(f"--eval-photos: expected 0 or more, got {args.eval_photos}")
    if args.target == "tensorrt":
        raise UsageError(NO_COMPILER if find_spec("tensorrt") else NO_TENSORRT)
    return precisions


def main(argv: list[str] | None = None) -> int:
    """Exit code as described above."""
    args = build_parser().parse_args(argv)
    try:
        precisions = check_usage(args)
    except UsageError as error:
        return _fail(error, 2)
    try:
        from export.gate import GateError
        from export.parity import ParityError
        from export.pipeline import build
        from export.plan import Inputs, Plan
        from sdk.errors import GroundingError
        from train.build import DEFAULT_VOCAB
        from train.checkpoint import CheckpointError
        from train.data.readers import data_root
        from train.data.samples import DataError
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
            precisions=precisions,
            text_precision=args.text_precision,
            calibration_photos=args.calibration_photos,
            eval_photos=args.eval_photos,
            licence=args.licence,
            training_data=args.training_data,
        )
        inputs = Inputs(plan)
    except (CheckpointError, DataError, GroundingError, ValueError, OSError) as error:
        return _fail(error, 2)
    if args.dry_run:
        print(inputs.describe(plan))
        return 0
    try:
        build(plan, inputs)
    except (ParityError, GateError, GroundingError) as error:
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
