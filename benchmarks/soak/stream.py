"""The process that is watched: a stream whose settings change, and a server."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import psutil

from sdk import Grounder, StreamResult
from sdk.bundle.manifest import Manifest
from sdk.server import Limits
from tests.serving import serving

COLOURS = ("red", "blue", "green", "white", "black", "brown", "pink", "grey", "orange", "yellow")
THINGS = ("dog", "cat", "man", "car", "cup", "chair", "bird", "shirt", "woman", "horse")
PLACES = ("left", "right", "top", "bottom", "grass", "floor", "table", "wall", "road", "water")
PHRASES = tuple(
    f"a {colour} {thing} on the {place}"
    for place, thing, colour in itertools.product(PLACES, THINGS, COLOURS)
)
"""More than a grounder keeps."""
SAMPLES = 400


@dataclass(frozen=True)
class Changes:
    """How often something changes over all frames."""

    losses: int
    phrases: int
    precisions: int


@dataclass(frozen=True)
class Run:
    """What one process has to live through."""

    bundle: str
    frames: int
    """That the camera has sent when the run ends."""
    fps: float
    size_wh: tuple[int, int]
    changes: Changes
    reload: bool
    """Whether a bundle is loaded anew for each switch; else once for each precision."""


class Sample(NamedTuple):
    """What the process holds."""

    frame: int
    seconds: float
    mib: float
    """Resident memory."""
    threads: int
    handles: int


@dataclass
class Soaked:
    """What came of a run."""

    results: int = 0
    seconds: float = 0.0
    phrases: int = 0
    precisions: int = 0
    latency_ms: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    end: Sample | None = None
    """When the stream is closed and the server has stopped."""


def soak(run: Run, camera: str, parent: Connection) -> None:
    """In the process: sends the address of the server, and when all is over a Soaked."""
    process, soaked, began = psutil.Process(os.getpid()), Soaked(), time.perf_counter()

    def sample(frame: int) -> Sample:
        with process.oneshot():
            mib = process.memory_info().rss / 2**20
            threads, handles = process.num_threads(), process.num_fds()
        seconds = round(time.perf_counter() - began, 2)
        return Sample(frame, seconds, round(mib, 2), threads, handles)

    # Clients of one machine, and idle connections of it that end soon after the clients.
    limits = Limits(connections_per_client=64, idle_seconds=1, seconds=60)
    with serving(_load(run, "fp32"), limits) as address:
        parent.send(address)
        _stream(run, camera, soaked, sample)
        parent.send(None)  # so that the clients stop
        parent.recv()
    soaked.seconds = round(time.perf_counter() - began, 1)
    soaked.end = sample(run.frames)
    parent.send(soaked)


def _stream(run: Run, camera: str, soaked: Soaked, sample: Callable[[int], Sample]) -> None:
    """Follow the camera, and change what there is to change when its frame has come."""
    load = partial(_load, run)
    if not run.reload:
        load = cache(load)
    precisions = sorted(Manifest.load(run.bundle).precisions)
    if not run.reload:
        for precision in precisions:
            load(precision)
    switches = itertools.cycle(precisions)
    groups = itertools.cycle(_groups(PHRASES))
    # The stream alone holds a grounder that is loaded anew: until it gets another one.
    with load(precisions[-1]).stream(camera, PHRASES[0], policy="newest") as stream:
        for got in stream:
            soaked.results += 1
            soaked.latency_ms.append(1000 * got.latency)
            _check(got)
            if len(soaked.samples) < _due(got.number, run.frames, SAMPLES):
                soaked.samples.append(sample(got.number))
            if soaked.precisions < _due(got.number, run.frames, run.changes.precisions):
                stream.grounder = load(next(switches))
                soaked.precisions += 1
            if soaked.phrases < _due(got.number, run.frames, run.changes.phrases):
                stream.phrases = next(groups)
                soaked.phrases += 1
            # On a busy machine, where frames are left out, some changes come late.
            done = (soaked.precisions, soaked.phrases)
            if got.number >= run.frames and done == (run.changes.precisions, run.changes.phrases):
                break


def _due(number: int, frames: int, times: int) -> int:
    """How many of `times` changes, evenly spread, have their turn by frame `number`."""
    return min(times, number * times // frames)


def _groups(phrases: Sequence[str]) -> list[list[str]]:
    """One phrase, two, three, one, ..., of all."""
    sizes, left, groups = itertools.cycle((1, 2, 3)), list(phrases), []
    while left:
        size = next(sizes)
        groups.append(left[:size])
        del left[:size]
    return groups


def _load(run: Run, precision: str) -> Grounder:
    return Grounder.load(run.bundle, device="cpu", precision=precision, threads=1)


def _check(got: StreamResult) -> None:
    """Raises ValueError for a result that is none."""
    height, width = got.frame.shape[:2]
    for result in got.results:
        left, top, right, bottom = result.box
        if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
            raise ValueError(f"expected a box in {width} x {height}, got {result.box}")
