"""`grounder serve`: answer over HTTP."""

import argparse

from sdk.application import add_model_options
from sdk.server import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    serve.add_arguments(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> None:
    """Load the bundle, listen until stopped. Raises GroundingError."""
    serve.serve(serve.make_app(args), args)
