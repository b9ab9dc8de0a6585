"""What a worker process does: grounds one part after the other, with a Grounder of its own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sdk._internal.opencv import cv2
from sdk.batch.folder import WorkFolder
from sdk.batch.plan import Part
from sdk.batch.rows import Row, error_row, result_rows
from sdk.batch.video import Sampling, VideoReader, chosen
from sdk.errors import FrameError, SourceError
from sdk.grounder import Grounder
from sdk.inputs.frames import FrameLike


@dataclass(frozen=True)
class Model:
    """What `Grounder.load` takes."""

    bundle: str | Path
    device: str
    precision: str
    threads: int | None
    engines: str | None
    deltas: tuple[str, ...] = ()

    def load(self) -> Grounder:
        """Load it; raises what `Grounder.load` raises."""
        return Grounder.load(
            self.bundle,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            engines=self.engines,
            deltas=self.deltas,
        )


@dataclass(frozen=True)
class Job:
    """What is the same for all parts."""

    model: Model
    phrases: tuple[str, ...]
    alternatives: int
    sampling: Sampling


class _Frame(NamedTuple):
    source: str
    number: int
    time_s: float | None
    image: FrameLike | None
    why: str
    """There is no image."""


def ground_part(job: Job, work: WorkFolder, part: Part) -> list[str]:
    """Ground a part and keep its rows. What could not be read becomes a row too.

    What it raises, also what `Grounder.load` raises, is wrong with all parts.

    Returns:
        What could not be read.

    Raises:
        PhraseError: a phrase cannot be used.
        BackendError: the runtime failed.
        GroundingError: the rows cannot be kept.
    """
    grounder = _grounder(job.model)
    rows: list[Row] = []
    for source, number, time_s, image, why in _frames(part, job.sampling):
        if image is not None:
            try:
                results = grounder.ground(image, job.phrases, alternatives=job.alternatives)
            except FrameError as unusable:
                why = str(unusable)
            else:
                rows += result_rows(source, number, time_s, results)
                continue
        rows.append(error_row(source, number, time_s, why))
    return work.write(part, rows)


def give_up(work: WorkFolder, part: Part, attempts: int) -> list[str]:
    """For a part that `attempts` worker processes died with: as `ground_part`."""
    alone = "" if len(part.paths) == 1 else f", or with one of {len(part.paths) - 1} others"
    error = f"{attempts} worker processes died with it{alone}"
    frame = part.span.start if part.span else 0
    return work.write(part, [error_row(_named(path), frame, None, error) for path in part.paths])


@lru_cache(maxsize=1)
def _grounder(model: Model) -> Grounder:
    if model.threads:
        cv2.setNumThreads(model.threads)
    return model.load()


def _frames(part: Part, sampling: Sampling) -> Iterator[_Frame]:
    if part.span is None:
        for path in part.paths:
            yield _Frame(_named(path), 0, None, path, "")
        return
    (path,), span = part.paths, part.span
    source = _named(path)
    try:
        reader = _reader_at(path, span.start)
    except SourceError as error:
        yield _Frame(source, 0, None, None, str(error))
        return
    if reader.number + 1 < span.start:
        return  # it has ended before; the part that it ended in says so
    for seen in chosen(reader, span.stop, sampling):
        yield _Frame(source, seen.number, seen.time_s, seen.frame(), "the frame does not decode")
    end = reader.number + 1
    if end == span.stop:
        _kept.append(reader)
        return
    reader.close()
    # Headers are not exact, but hardly a second wrong.
    if not end or end < span.announced - reader.fps:
        announced = f" of {span.announced} that its header announces" if span.announced else ""
        why = f"the video ends after {end} frames{announced}; it may be cut off or damaged"
        yield _Frame(source, end, None, None, why)


_kept: list[VideoReader] = []
"""Where the last part ended, for the one that follows it; at most one."""


def _reader_at(path: str, start: int) -> VideoReader:
    """A reader whose next frame is `start`, or that has ended before. Raises SourceError."""
    reader = _kept.pop() if _kept else None
    if reader is None or reader.path != path or reader.number >= start:
        if reader:
            reader.close()
        reader = VideoReader(path)
    while reader.number + 1 < start and reader.advance():
        pass
    return reader


def _named(path: str) -> str:
    """A path as text that any file can hold: bytes that are not UTF-8 become \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
