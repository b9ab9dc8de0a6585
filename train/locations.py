"""Where a checkpoint's encoders lie: its settings name the places of the machine that trained it.

Flags of the same names say where they are now. Frozen encoders are checked by their hash, so a
wrong one is refused.
"""

from __future__ import annotations

import argparse

ENCODER_LOCATIONS = ("vision", "vision_weights", "text", "prior")
"""Fields of `TrainConfig` that name files or models of the hub."""


def add_location_flags(parser: argparse.ArgumentParser) -> None:
    """`--vision`, `--vision-weights`, `--text` and `--prior`."""
    for name in ENCODER_LOCATIONS:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, metavar="WHERE", help="of the checkpoint's, if it lies elsewhere")


def given_locations(args: argparse.Namespace) -> dict[str, str]:
    """The fields that the flags give."""
    found = {name: getattr(args, name) for name in ENCODER_LOCATIONS}
    return {name: value for name, value in found.items() if value is not None}
