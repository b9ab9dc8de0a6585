"""The `grounder` command.

    grounder ground photo.jpg "the dog on the left" "a red car" --save out.jpg
    grounder info [bundle]
    grounder doctor [bundle] --precision fp16
    grounder compile [bundle] --precision fp16
    grounder bench [bundle] --device tensorrt --json run.json --compare before.json
    grounder serve --port 8000
    grounder batch photos/ street.mp4 --phrase "a dog" --out dogs.parquet

Exit code 0: done, also when nothing was found. 2: it could not be done, said in one line on stderr.
1, of `grounder batch` alone: done, but for files that could not be read.

What needs NumPy, OpenCV or ONNX Runtime is imported by the command that uses it: `grounder doctor`
must start where they are broken.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sdk
from sdk import bench_command, doctor
from sdk.batch import command as batch
from sdk.contract import TEXT
from sdk.engines.library import TENSORRT, TENSORRT_RTX
from sdk.errors import EngineUnsupportedError, GroundingError
from sdk.results import Grounding, Place
from sdk.server import command as server

if TYPE_CHECKING:
    from sdk.compile import CompiledGraph
    from sdk.grounder import Grounder

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
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    except ImportError as error:
        hint = "`grounder doctor` says what to install"
        print(f"error: {_one_line(error)}; {hint}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130  # the shell's 128 + SIGINT
    return 0


def add_model_options(parser: argparse.ArgumentParser, threads: int | None = None) -> None:
    """The options of everything that loads a bundle, see `load_grounder`; `threads`: default."""
    parser.add_argument("--bundle", metavar="FOLDER", help="model folder (default: the built-in)")
    add_runtime_options(parser, threads)


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
    ground.add_argument(
        "--alternatives",
        type=int,
        default=0,
        metavar="K",
        help="other places that a phrase may mean, at most (default: %(default)s)",
    )
    ground.add_argument(
        "--region",
        type=float,
        nargs=4,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="look nowhere else; in pixels of the picture",
    )
    ground.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    add_model_options(ground)
    ground.set_defaults(command=_ground)

    info = commands.add_parser("info", help="show what a bundle is and how it would run here")
    info.add_argument("bundle", nargs="?", help="model folder (default: the built-in)")
    info.add_argument("--metrics", action="store_true", help="and what its build measured")
    add_runtime_options(info)
    info.set_defaults(command=_info)

    check = commands.add_parser("doctor", help="show what this machine has and what is missing")
    doctor.add_arguments(check)
    add_runtime_options(check)
    check.set_defaults(command=doctor.run)

    _add_compile(commands.add_parser("compile", help="compile a bundle for an NVIDIA GPU"))

    bench = commands.add_parser("bench", help="measure how fast a bundle is here")
    bench_command.add_arguments(bench)
    add_runtime_options(bench)
    bench.set_defaults(command=bench_command.run)

    serve = commands.add_parser("serve", help="answer over HTTP")
    server.add_arguments(serve)
    add_model_options(serve)
    serve.set_defaults(command=server.run)

    many = commands.add_parser("batch", help="ground folders of pictures and videos into a table")
    batch.add_arguments(many)
    add_model_options(many, threads=1)
    many.set_defaults(command=batch.run)
    return parser


def _add_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", nargs="?", help="model folder (default: the built-in)")
    parser.add_argument(
        "--precision", default="auto", help="auto, or one the bundle has (default: %(default)s)"
    )
    parser.add_argument(
        "--library", choices=[TENSORRT, TENSORRT_RTX], help="default: what is installed"
    )
    parser.add_argument(
        "--engines",
        metavar="FOLDER",
        help="where to keep the engines (default: engines, in the bundle)",
    )
    parser.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help=f"for {TENSORRT_RTX}: build for these cards alone, as 8.6 (default: all from 8.0 on)",
    )
    parser.add_argument(
        "--workspace-mib",
        type=int,
        metavar="N",
        help="most scratch memory of a build on the GPU (default: TensorRT's own limit)",
    )
    parser.add_argument(
        "--version-compatible",
        action="store_true",
        help=f"for {TENSORRT}: later versions of the same major number run the engines too, slower",
    )
    parser.set_defaults(command=_compile)


def refuse_overwriting(source: str, target: str) -> None:
    """Raises GroundingError when the annotated copy would replace what it is made from."""
    # Not Path.exists: it raises for what is too long for a name, as a camera's pipeline may be.
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise GroundingError(f"{target!r} is the input itself: give the output another name")


def _ground(args: argparse.Namespace) -> None:
    from sdk.drawing import draw, write_image
    from sdk.frames import as_bgr

    if args.save:
        refuse_overwriting(args.image, args.save)
    grounder = load_grounder(args)
    frame = as_bgr(args.image)
    results = grounder.ground(
        frame, args.phrases, alternatives=args.alternatives, region=args.region
    )
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
    """Of each result the phrase, and on a line each its instances and alternatives."""
    widest = max(len(result.text) for result in results)
    lines = []
    for result in results:
        rest = [line(place) for place in result.instances[1:]]
        rest += [f"{line(place)}  perhaps" for place in result.alternatives]
        lines.append(f"{result.text:<{widest}}  {summary(result)}")
        lines += [f"{'':<{widest}}  {text}" for text in rest]
    return "\n".join(lines)


def summary(result: Grounding) -> str:
    """Score and best box of one result, as "0.93   12  40  210  300" or "0.03  not found"."""
    unknown = f"  unknown: {', '.join(result.unknown_words)}" if result.unknown_words else ""
    if not result.found:
        return f"{result.score:.2f}  not found{unknown}"
    return line(result.instances[0]) + unknown


def line(place: Place) -> str:
    """Score and box, as "0.93   12  40  210  300"."""
    return f"{place.score:.2f}  " + " ".join(f"{edge:6.1f}" for edge in place.box)


def _info(args: argparse.Namespace) -> None:
    grounder = load_grounder(args)
    metrics = {"metrics": dict(grounder.manifest.metrics)} if args.metrics else {}
    print(json.dumps(grounder.info | metrics, indent=2))


def _compile(args: argparse.Namespace) -> None:
    from sdk.compile import compile_bundle
    from sdk.grounder import DEFAULT_BUNDLE

    progress = _Progress()
    try:
        results = compile_bundle(
            args.bundle or DEFAULT_BUNDLE,
            precision=args.precision,
            library=args.library,
            folder=args.engines,
            compute_capability=args.compute_capability,
            version_compatible=args.version_compatible,
            workspace_bytes=args.workspace_mib and args.workspace_mib * 2**20,
            progress=progress,
        )
    finally:
        progress.clear()
    for result in results:
        print(_compiled(result))
    refused = [one.graph for one in results if one.refused and one.graph != TEXT.name]
    if refused:
        raise EngineUnsupportedError(
            f"without {' and '.join(refused)} the bundle cannot run on TensorRT; choose another "
            "precision"
        )


class _Progress:
    """Shows on stderr what a build is doing: a line rewritten on a terminal, else one a phase."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size().columns - 1 if sys.stderr.isatty() else 0
        self._shown: set[str] = set()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._width:
            self._rewrite(f"{phase} {done}/{total}")
        elif phase not in self._shown:
            self._shown.add(phase)
            print(phase, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._width:
            self._rewrite("")

    def _rewrite(self, line: str) -> None:
        line = line[: self._width].ljust(self._width)
        print(line, end="\r", file=sys.stderr, flush=True)


def _compiled(result: "CompiledGraph") -> str:
    """One line."""
    name = f"{result.graph:7s} {result.precision:5s}"
    if result.refused:
        fate = "stays on ONNX Runtime" if result.graph == TEXT.name else "refused"
        return f"{name} {fate}: {_one_line(result.refused)}"
    took = "was there already" if result.cached else f"{result.seconds:.1f} s"
    return f"{name} {result.path}, {result.bytes / 1e6:.1f} MB, {took}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
