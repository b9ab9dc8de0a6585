"""The options that the demos of videos share."""

import argparse
from collections.abc import Sequence

from sdk.application import add_detail, add_model_options


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Add them to the parser's own, and parse."""
    add = parser.add_argument
    add(
        "--phrase",
        action="append",
        metavar="TEXT",
        help="what to find; may be repeated (default: a person)",
    )
    add(
        "--tracking",
        action=argparse.BooleanOptionalAction,
        help="carry boxes from frame to frame (default: unless they are separate pictures)",
    )
    add("--max-frames", type=positive, metavar="N", help="stop after N frames")
    add_detail(parser)
    add_model_options(parser)
    args = parser.parse_args(argv)
    args.phrase = args.phrase or ["a person"]
    return args


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value
