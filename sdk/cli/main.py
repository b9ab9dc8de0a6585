"""The parser of the `grounder` command: one module a subcommand."""

import argparse
from collections.abc import Sequence

import sdk
from sdk.application import report_errors
from sdk.cli import batch, bench, compile, deltas, doctor, ground, info, serve, teach

COMMANDS = {
    "ground": (ground, "find phrases in a picture"),
    "info": (info, "show what a bundle is and how it would run here"),
    "doctor": (doctor, "show what this machine has and what is missing"),
    "compile": (compile, "compile a bundle for an NVIDIA GPU"),
    "bench": (bench, "measure how fast a bundle is here"),
    "serve": (serve, "answer over HTTP"),
    "batch": (batch, "ground folders of pictures and videos into a table"),
    "teach": (teach, "learn what a name means from a few examples"),
    "deltas": (deltas, "show what lessons hold, and whether they fit"),
}
"""Each has `add_arguments(parser)` and `run(args)`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = build_parser().parse_args(argv)
    return report_errors(lambda: args.command(args))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="grounder", description="Find what a phrase describes in a picture."
    )
    parser.add_argument("--version", action="version", version=f"grounder {sdk.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        module.add_arguments(command)
        command.set_defaults(command=module.run)
    return parser
