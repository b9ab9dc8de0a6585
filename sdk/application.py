"""What command-line applications share: model options, errors in one line, results as text.

What needs NumPy, OpenCV or ONNX Runtime is imported when it is used: `grounder doctor` must start
where they are broken.
"""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sdk.bundle import DEFAULT_BUNDLE
from sdk.errors import GroundingError
from sdk.results import Grounding, Place

if TYPE_CHECKING:
    from sdk.grounder import Grounder

EXIT_ERROR = 2  # what argparse uses for a wrong command line


def report_errors(command: Callable[[], None]) -> int:
    """Run `command`; print an error of ours, or of the system, as one line on stderr.

    Warnings that are logged go to stderr too.

    Returns:
        The exit code.
    """
    logging.basicConfig(format="%(name)s: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may have no sign for a phrase's
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # the shell's 128 + SIGPIPE
    except (GroundingError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    except ImportError as error:
        hint = "`grounder doctor` says what to install"
        print(f"error: {one_line(error)}; {hint}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130  # the shell's 128 + SIGINT
    return 0


def add_model_options(parser: argparse.ArgumentParser, threads: int | None = None) -> None:
    """The options of everything that loads a bundle, see `load_grounder`.

    Args:
        threads: the default of `--threads`.
    """
    add_bundle(parser, "--bundle", metavar="FOLDER")
    add_runtime_options(parser, threads)
    parser.add_argument(
        "--delta",
        action="append",
        default=[],
        metavar="FILE",
        help="lesson that `grounder teach` wrote; may be repeated",
    )


def add_bundle(parser: argparse.ArgumentParser, name: str, **options: Any) -> None:
    """The option or argument for a bundle."""
    what = "model folder (default: the built-in)"
    parser.add_argument(name, default=DEFAULT_BUNDLE, help=what, **options)


def add_detail(parser: argparse.ArgumentParser) -> None:
    """The option for the `detail` of `Grounder.ground`."""
    parser.add_argument(
        "--detail",
        type=int,
        default=1,
        metavar="N",
        help="look for what is not found also in parts, an N-th of the frame's longer side large: "
        "finds smaller things, takes longer (default: %(default)s, the whole frame alone)",
    )


def add_runtime_options(parser: argparse.ArgumentParser, threads: int | None = None) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, tensorrt, openvino or another that is installed "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--precision", default="auto", help="auto, or one the bundle has (default: %(default)s)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=threads,
        metavar="N",
        help=f"CPU threads (default: {threads or 'physical cores'})",
    )
    parser.add_argument(
        "--engines",
        metavar="FOLDER",
        help="what `grounder compile --engines` wrote (default: engines, in the bundle)",
    )


def load_grounder(args: argparse.Namespace) -> "Grounder":
    """The Grounder that the options of `add_model_options` ask for."""
    from sdk.grounder import Grounder

    return Grounder.load(
        args.bundle,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        engines=args.engines,
        deltas=vars(args).get("delta", ()),
    )


def refuse_overwriting(source: str, target: str) -> None:
    """Check that an annotated copy would not replace what it is made from.

    Raises:
        GroundingError: `source` and `target` are one file.
    """
    # Not Path.exists: it raises for what is too long for a name, as a camera's pipeline may be.
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise GroundingError(f"{target!r} is the input itself: give the output another name")


def table(results: Sequence[Grounding]) -> str:
    """Of each result the phrase, and on a line each its instances and alternatives."""
    texts = [printable(result.text) for result in results]
    widest = max(map(len, texts))
    lines = []
    for text, result in zip(texts, results, strict=True):
        rest = [line(place) for place in result.instances[1:]]
        rest += [f"{line(place)}  perhaps" for place in result.alternatives]
        lines.append(f"{text:<{widest}}  {summary(result)}")
        lines += [f"{'':<{widest}}  {place}" for place in rest]
    return "\n".join(lines)


def summary(result: Grounding) -> str:
    """Score and best box of one result, as "0.93   12  40  210  300" or "0.03  not found"."""
    words = ", ".join(map(printable, result.unknown_words))
    unknown = f"  unknown: {words}" if words else ""
    if not result.found:
        return f"{result.score:.2f}  not found{unknown}"
    return line(result.instances[0]) + unknown


def line(place: Place) -> str:
    """Score and box, as "0.93   12  40  210  300"."""
    return f"{place.score:.2f}  " + " ".join(f"{edge:6.1f}" for edge in place.box)


def printable(text: str) -> str:
    """The text with escapes in place of what would move the cursor or colour a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """The text without line breaks, repeated spaces and what moves the cursor."""
    return printable(" ".join(str(text).split()))
