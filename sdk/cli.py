"""The `grounder` command.

    grounder ground photo.jpg "the dog on the left" "a red car" --save out.jpg
    grounder info [bundle]

Exit code 0: done, also when nothing was found. 2: it could not be done, said in one line on stderr.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import sdk
from sdk.drawing import draw, write_image
from sdk.errors import GroundingError
from sdk.frames import as_bgr
from sdk.grounder import Grounder
from sdk.results import Grounding

EXIT_ERROR = 2  # what argparse uses for a wrong command line


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = _parser().parse_args(argv)
    return report_errors(lambda: args.command(args))


def report_errors(command: Callable[[], None]) -> int:
    """Run `command`; print an error of ours as one line on stderr. Returns the exit code."""
    try:
        command()
    except GroundingError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130  # the shell's 128 + SIGINT
    return 0


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options of everything that loads a bundle; see `load_grounder`."""
    parser.add_argument("--bundle", metavar="FOLDER", help="model folder (default: the built-in)")
    add_runtime_options(parser)


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or tensorrt (default: %(default)s)"
    )
    parser.add_argument(
        "--precision", default="auto", help="auto, or one the bundle has (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads (default: physical cores)"
    )


def load_grounder(args: argparse.Namespace) -> Grounder:
    """The Grounder that the options of `add_model_options` ask for."""
    return Grounder.load(
        args.bundle, device=args.device, precision=args.precision, threads=args.threads
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="grounder", description="Find what a phrase describes in a picture."
    )
    parser.add_argument("--version", action="version", version=f"grounder {sdk.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ground = commands.add_parser("ground", help="find phrases in a picture")
    ground.add_argument("image", help="picture file")
    ground.add_argument("phrases", nargs="+", metavar="phrase", help='as in "the dog on the left"')
    ground.add_argument("--save", metavar="FILE", help="write the picture with the boxes drawn")
    ground.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    add_model_options(ground)
    ground.set_defaults(command=_ground)

    info = commands.add_parser("info", help="show what a bundle is and how it would run here")
    info.add_argument("bundle", nargs="?", help="model folder (default: the built-in)")
    add_runtime_options(info)
    info.set_defaults(command=_info)
    return parser


def refuse_overwriting(source: str, target: str) -> None:
    """Raises GroundingError when the annotated copy would replace what it is made from."""
    if Path(source).exists() and Path(target).exists() and Path(source).samefile(target):
        raise GroundingError(f"{target!r} is the input itself: give the output another name")


def _ground(args: argparse.Namespace) -> None:
    if args.save:
        refuse_overwriting(args.image, args.save)
    grounder = load_grounder(args)
    frame = as_bgr(args.image)
    results = grounder.ground(frame, args.phrases)
    if args.save:
        write_image(args.save, draw(frame, results))
    if args.json:
        height, width = frame.shape[:2]
        answer = {
            "image": args.image,
            "size_wh": [width, height],
            "results": [result.to_dict() for result in results],
        }
        print(json.dumps(answer))
        return
    print(table(results))
    if args.save:
        print(f"saved {args.save}")


def table(results: Sequence[Grounding]) -> str:
    """One line per result: phrase, score, box in pixels (or "not found")."""
    widest = max(len(result.text) for result in results)
    return "\n".join(f"{result.text:<{widest}}  {summary(result)}" for result in results)


def summary(result: Grounding) -> str:
    """Score and box of one result, as "0.93   12  40  210  300" or "0.03  not found"."""
    if not result.found:
        return f"{result.score:.2f}  not found"
    return f"{result.score:.2f}  " + " ".join(f"{edge:6.1f}" for edge in result.box)


def _info(args: argparse.Namespace) -> None:
    grounder = load_grounder(args)
    print(json.dumps(grounder.info | {"metrics": dict(grounder.manifest.metrics)}, indent=2))
