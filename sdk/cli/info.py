"""`grounder info`: what a bundle is and how it would run here."""

import argparse
import dataclasses
import json

from sdk.application import add_bundle, add_runtime_options, load_grounder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_bundle(parser, "bundle", nargs="?")
    parser.add_argument("--metrics", action="store_true", help="and what its build measured")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> None:
    """Print one JSON object. Raises GroundingError."""
    grounder = load_grounder(args)
    metrics = {"metrics": dict(grounder.manifest.metrics)} if args.metrics else {}
    print(json.dumps(dataclasses.asdict(grounder.info) | metrics, indent=2))
