"""`grounder compile`: compile a bundle for an NVIDIA GPU."""

import argparse
from typing import TYPE_CHECKING

from sdk._internal.progress import StatusLine
from sdk.application import add_bundle, one_line
from sdk.backends.tensorrt.library import TENSORRT, TENSORRT_RTX
from sdk.bundle.contract import TEXT
from sdk.errors import EngineUnsupportedError

if TYPE_CHECKING:
    from sdk.backends.tensorrt.compile import CompiledGraph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_bundle(parser, "bundle", nargs="?")
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


def run(args: argparse.Namespace) -> None:
    """Compile and print a line a graph. Raises GroundingError."""
    from sdk.backends.tensorrt.compile import compile_bundle

    with _Phases() as progress:
        results = compile_bundle(
            args.bundle,
            precision=args.precision,
            library=args.library,
            folder=args.engines,
            compute_capability=args.compute_capability,
            version_compatible=args.version_compatible,
            workspace_bytes=args.workspace_mib and args.workspace_mib * 2**20,
            progress=progress,
        )
    for result in results:
        print(_compiled(result))
    refused = [one.graph for one in results if one.refused and one.graph != TEXT.name]
    if refused:
        raise EngineUnsupportedError(
            f"without {' and '.join(refused)} the bundle cannot run on TensorRT; choose another "
            "precision"
        )


class _Phases(StatusLine):
    """What a build is doing: a line rewritten on a terminal, else one a phase."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self.terminal:
            self.show(f"{phase} {done}/{total}")
        elif phase not in self._shown:
            self._shown.add(phase)
            self.show(phase)


def _compiled(result: "CompiledGraph") -> str:
    """One line."""
    name = f"{result.graph:7s} {result.precision:5s}"
    if result.refused:
        fate = "stays on ONNX Runtime" if result.graph == TEXT.name else "refused"
        return f"{name} {fate}: {one_line(result.refused)}"
    took = "was there already" if result.cached else f"{result.seconds:.1f} s"
    return f"{name} {result.path}, {result.bytes / 1e6:.1f} MB, {took}"
