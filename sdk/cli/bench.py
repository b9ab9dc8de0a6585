"""`grounder bench`: how fast a bundle is here, and what has changed since another run.

grounder bench [BUNDLE] [--json run.json] [--compare before.json]
"""

import argparse
from functools import partial
from pathlib import Path

from sdk.application import add_bundle, add_runtime_options
from sdk.diagnostics.record import compare, read_record, report, write_record
from sdk.errors import GroundingError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_bundle(parser, "bundle", nargs="?")
    parser.add_argument(
        "--frames", type=int, default=200, metavar="N", help="samples of each (default: 200)"
    )
    parser.add_argument(
        "--phrases",
        type=int,
        nargs="+",
        default=[1, 10],
        metavar="N",
        help="how many are asked of a frame (default: 1 10)",
    )
    parser.add_argument("--image", metavar="FILE", help="frame (default: noise, 640x480)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="figures of another run")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and print. Raises GroundingError."""
    from sdk.diagnostics.benchmark import measure

    before = read_record(args.compare) if args.compare else None
    if args.json and not args.json.parent.is_dir():
        raise GroundingError(f"--json: expected a file in a folder that exists, got {args.json}")
    record = measure(
        args.bundle,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        engines=args.engines,
        frames=args.frames,
        phrases=args.phrases,
        image=args.image,
        show=partial(print, flush=True),
    )
    print("\n".join(report(record)))
    if args.json:
        write_record(args.json, record)
    if before:
        print("\n".join(["", f"compared with {args.compare}", *compare(before, record)]))
