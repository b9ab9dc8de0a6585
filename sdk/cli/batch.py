"""The `grounder batch` command: what it takes, prints and returns.

    grounder batch SOURCE... --phrase "a dog" --out results.parquet [--workers 2]

Exit code 0: every picture and video was read. 1: the result is there, with rows that say what could
not be read. 2: there is no result.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk._internal.progress import Progress
from sdk.application import add_model_options

if TYPE_CHECKING:
    from sdk.batch.folder import WorkFolder
    from sdk.batch.plan import Part
    from sdk.batch.worker import Job

EXIT_WITH_ERRORS = 1
SHOWN_ERRORS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help='folder, with all that is in it; picture; video; pattern, as "shots/*.jpg"; or a text '
        "file with one path a line",
    )
    add(
        "--phrase",
        action="append",
        required=True,
        metavar="TEXT",
        help="what to find; may be repeated",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="table, .jsonl or .parquet")
    add("--workers", type=int, metavar="N", help="processes (default: physical cores)")
    sampling = parser.add_mutually_exclusive_group()
    sampling.add_argument(
        "--every", type=int, default=1, metavar="N", help="of a video every N-th frame (default: 1)"
    )
    sampling.add_argument("--fps", type=float, metavar="F", help="of a video F frames a second")
    add(
        "--alternatives",
        type=int,
        default=0,
        metavar="K",
        help="other places that a phrase may mean, at most (default: %(default)s)",
    )
    add_model_options(parser, threads=1)


def run(args: argparse.Namespace) -> None:
    """Ground, merge, print. Raises GroundingError; SystemExit(1) where something was not read."""
    from sdk.backends.ort import thread_count
    from sdk.batch.folder import WorkFolder
    from sdk.batch.plan import cut, find_files
    from sdk.batch.table import check_table

    started = time.perf_counter()
    check_table(args.out)
    workers = thread_count(args.workers)
    job = _job(args)
    settings = _settings(job)
    files = find_files(args.sources)
    work = WorkFolder(args.out)
    with work.claimed():
        work.open(settings)
        parts = list(cut(files, job.sampling))
        try:
            errors = _ground(job, work, parts, workers)
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on with {work.path}", file=sys.stderr)
            raise
        rows = work.merge(parts)
    seconds = time.perf_counter() - started
    print(f"{rows:,} rows of {len(files):,} files in {seconds:.1f} s, wrote {args.out}")
    if not errors:
        work.remove()
        return
    errors.sort()
    some = [*errors[:SHOWN_ERRORS], "..."] if len(errors) > SHOWN_ERRORS else errors
    lines = [f"errors, a row each: {len(errors):,}", *some]
    lines.append(f"the same command tries these again; to start over: rm -r {work.path}")
    print("\n  ".join(lines), file=sys.stderr)
    raise SystemExit(EXIT_WITH_ERRORS)


def _job(args: argparse.Namespace) -> "Job":
    """Raises GroundingError."""
    from sdk.batch.video import Sampling
    from sdk.batch.worker import Job, Model

    runtime = args.bundle, args.device, args.precision, args.threads, args.engines
    model = Model(*runtime, tuple(args.delta))
    sampling = Sampling(args.every, args.fps)
    return Job(model, tuple(args.phrase), args.alternatives, sampling)


def _settings(job: "Job") -> dict[str, Any]:
    """What decides about the rows of a picture, of JSON's types.

    Loads the model, so that what is wrong with it or the phrases is said before any worker starts.
    It may also raise what `Grounder.load` raises.

    Raises:
        PhraseError: a phrase cannot be used.
        GroundingError: the number of alternatives cannot be used.
    """
    import sdk
    from sdk._internal.arguments import whole
    from sdk._internal.hashing import sha256_file
    from sdk.bundle.manifest import MANIFEST_NAME

    whole("--alternatives", job.alternatives, 0)
    grounder = job.model.load()
    grounder.encode_phrases(job.phrases)
    bundle = Path(job.model.bundle)
    return {
        "grounder": sdk.__version__,
        "bundle": sha256_file(bundle / MANIFEST_NAME),
        "device": grounder.info.device,
        "precision": grounder.info.precision,
        "phrases": list(job.phrases),
        "alternatives": job.alternatives,
        "lessons": [sha256_file(path) for path in job.model.deltas],
        "every": job.sampling.every,
        "fps": job.sampling.fps,
    }


def _ground(job: "Job", work: "WorkFolder", parts: "list[Part]", workers: int) -> list[str]:
    """Ground the parts that are not done. Returns what could not be read."""
    from sdk.batch.plan import lanes
    from sdk.batch.worker import give_up, ground_part
    from sdk.batch.workers import ATTEMPTS, run_lanes

    left = [part for part in parts if not work.is_done(part)]
    if len(left) < len(parts):
        done = len(parts) - len(left)
        print(f"going on: {done} of {len(parts)} parts are done", file=sys.stderr)
    if not left:
        return []
    errors: list[str] = []
    total = sum(part.frames for part in parts)
    before = total - sum(part.frames for part in left)
    task = partial(ground_part, job, work)
    todo = lanes(left, workers)
    with Progress("frames", total, before) as progress:
        for part, problems in run_lanes(todo, task, workers):
            errors += give_up(work, part, ATTEMPTS) if problems is None else problems
            progress.advance(part.frames)
    return errors
