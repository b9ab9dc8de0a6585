"""Which work there is: files, cut into parts, in the order of the result."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path

from sdk.batch.video import Sampling, VideoReader
from sdk.errors import SourceError
from sdk.inputs.sources import PICTURE_SUFFIXES, natural_order

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".ogv", ".ts", ".webm", ".wmv"}
)
LIST_SUFFIX = ".txt"
PICTURES_PER_PART = 64
FRAMES_PER_PART = 256
"""That are grounded. A part is what is lost at most when a worker or the run is stopped."""


@dataclass(frozen=True)
class Span:
    """Frames of a video, from `start` to the one before `stop`; to the end where that is None."""

    start: int = 0
    stop: int | None = None
    announced: int = 0
    """Frames of the whole video by its header, 0 where it does not say."""


@dataclass(frozen=True)
class Part:
    """What one worker does at a time, and what is kept as one file: some pictures, or a span."""

    key: str
    """Changes with the files' names, sizes and times of change."""
    paths: tuple[str, ...]
    """Several pictures or one video."""
    span: Span | None
    """None for pictures."""
    frames: int
    """Pictures, or frames to ground by the video's header; only for showing progress."""


def find_files(specs: Sequence[str]) -> list[str]:
    """The pictures and videos that `specs` name, in their order, each once.

    Of a folder or pattern pictures come first, then videos, both in natural order, 2 before 10.
    What a text file names is taken unseen.

    Args:
        specs: each a folder, with all in it, a pattern, a file, or a text file with one path a
            line.

    Raises:
        SourceError: a spec does not exist or cannot be read, or there is nothing at all.
    """
    found: dict[str, None] = {}
    for spec in specs:
        found.update(dict.fromkeys(_files(spec)))
    if not found:
        raise SourceError(
            f"expected pictures ({' '.join(sorted(PICTURE_SUFFIXES))}) or videos "
            f"({' '.join(sorted(VIDEO_SUFFIXES))}) in {', '.join(map(repr, specs))}, found none"
        )
    return list(found)


def _files(spec: str) -> list[str]:
    if os.path.isdir(spec):
        return _media(
            os.path.join(folder, name)
            for folder, _, names in os.walk(spec, onerror=_unreadable)
            for name in names
        )
    if os.path.isfile(spec):
        return _listed(spec) if Path(spec).suffix.lower() == LIST_SUFFIX else [spec]
    if has_magic(spec):
        return _media(path for path in glob(spec, recursive=True) if os.path.isfile(path))
    raise SourceError(
        "expected a folder, a picture, a video, a pattern or a text file with one path a line, got "
        f"{spec!r}, which does not exist"
    )


def _media(paths: Iterator[str]) -> list[str]:
    """The pictures, then the videos among them."""
    known = (path for path in paths if _is_picture(path) or _suffix(path) in VIDEO_SUFFIXES)
    return sorted(known, key=lambda path: (not _is_picture(path), natural_order(path)))


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"cannot read the folder {error.filename!r}: {error.strerror}; its files would be missing"
    ) from error


def _listed(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise SourceError(f"cannot read the list {path!r}: {error.strerror}") from error
    return [line for line in map(str.strip, text.split("\n")) if line]


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _is_picture(path: str) -> bool:
    return _suffix(path) in PICTURE_SUFFIXES


def cut(paths: Sequence[str], sampling: Sampling) -> Iterator[Part]:
    """Parts, in the order of the paths. What has no picture's ending is taken for a video."""
    for pictures, group in groupby(paths, key=_is_picture):
        files = list(group)
        if not pictures:
            for path in files:
                yield from _cut_video(path, sampling)
            continue
        for first in range(0, len(files), PICTURES_PER_PART):
            some = files[first : first + PICTURES_PER_PART]
            yield Part(_key(some, None), tuple(some), None, len(some))


def _cut_video(path: str, sampling: Sampling) -> Iterator[Part]:
    try:
        with VideoReader(path) as reader:
            announced, stride = reader.announced, sampling.stride(reader.fps)
    except SourceError:  # the worker that tries it again reports it
        announced, stride = 0, 1.0
    length = math.ceil(FRAMES_PER_PART * stride)
    starts = range(0, max(1, announced), length)
    for start in starts:
        stop = None if start == starts[-1] else start + length
        span = Span(start, stop, announced)
        frames = math.ceil(((stop or announced) - start) / stride)
        yield Part(_key([path], span), (path,), span, frames)


def _key(paths: Sequence[str], span: Span | None) -> str:
    content = [[path, *_stamp(path)] for path in paths]
    text = json.dumps([content, span and [span.start, span.stop, span.announced]])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of the last change, zeros where there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return 0, 0
    return status.st_size, status.st_mtime_ns


def lanes(parts: Sequence[Part], workers: int) -> list[list[Part]]:
    """Parts that one worker should do one after the other; the longest lanes first.

    A reader only goes forward, so the parts of a video are one lane. Where there are fewer videos
    than workers, a video is several lanes; each but the first has frames to pass before its own.
    """
    pictures = [[part] for part in parts if part.span is None]
    videos = [
        list(group) for _, group in groupby(filter(lambda p: p.span, parts), lambda p: p.paths)
    ]
    split = -(-workers // len(videos)) if videos else 1
    found = pictures + [lane for video in videos for lane in _split(video, split)]
    return sorted(found, key=len, reverse=True)


def _split(parts: list[Part], count: int) -> list[list[Part]]:
    length = -(-len(parts) // count)
    return [parts[first : first + length] for first in range(0, len(parts), length)]
