"""What "auto" means on a CPU where a bundle has several precisions for one: the fastest, measured.

    <bundle>/engines/precision.json     what was measured, for what, and what was chosen

INT8 is faster on processors with dot products of bytes and slower on some without, so the machine
that built a bundle cannot tell. The vision graphs are timed in turn when the bundle is first loaded
on a machine, which takes a second.
"""

import dataclasses
import hashlib
import json
import logging
import os
import platform
import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sdk._internal.files import replace_file
from sdk.backends.ort import RUNTIME, OrtSession, thread_count
from sdk.backends.session import Session
from sdk.bundle.contract import IMAGE, VISION
from sdk.bundle.manifest import Manifest
from sdk.bundle.schema import decode

FILE_NAME = "precision.json"
FOR_GPUS = "fp16"
"""A CPU computes in FP32 what it names."""
ROUNDS, WARM = 15, 3
FASTER = 0.95
"""Share of the time of the bundle's own choice that another must stay under: the build knows what
that one answers, and times have noise."""
BYTES_READ = 1 << 16

logger = logging.getLogger("grounder.backend")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the file holds."""

    key: str
    """Hash of graphs, processor, runtime and threads: for others it is measured again."""
    milliseconds: Mapping[str, float]
    """Precision -> median of its vision graph."""
    precision: str


def fastest(
    folder: Path, manifest: Manifest, threads: int | None, kept_in: Path
) -> tuple[str, str]:
    """The precision to take on this CPU, and why.

    Args:
        folder: of the bundle.
        kept_in: where the measurement is kept; where nothing can be written, none is made.

    Raises:
        BundleError: a graph is missing or damaged.
        BackendError: the runtime cannot load or run a graph.
    """
    default = manifest.default_precision
    rivals = precisions_for_cpu(manifest)
    if default not in rivals:
        return default, "the bundle's choice"
    if len(rivals) < 2:
        return default, "the only one of the bundle for a CPU"
    key = _key(manifest, rivals, threads)
    path = kept_in / FILE_NAME
    measured = _kept(path)
    if measured is None or measured.key != key or measured.precision not in rivals:
        if not _writable(kept_in):
            return default, f"the bundle's choice: no measurement can be kept in {kept_in}"
        manifest.verify(folder, list(rivals.values()))
        sessions = {n: OrtSession(folder / f, "cpu", threads) for n, f in rivals.items()}
        milliseconds = timed(manifest, sessions)
        measured = Measured(key, milliseconds, choose(milliseconds, default))
        _keep(path, measured)
    times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in measured.milliseconds.items())
    return measured.precision, f"the faster vision graph on this machine: {times}"


def precisions_for_cpu(manifest: Manifest) -> dict[str, str]:
    """Precision -> file of its vision graph, the bundle's choice first; each file once."""
    names = sorted(manifest.precisions, key=lambda name: name != manifest.default_precision)
    files: dict[str, str] = {}
    for name in names:
        file = manifest.graph_files(name)[VISION.name].file
        if name != FOR_GPUS and file not in files.values():
            files[name] = file
    return files


def timed(manifest: Manifest, sessions: Mapping[str, Session]) -> dict[str, float]:
    """Precision -> median milliseconds of its vision graph; they take turns, so that a drift of the
    machine meets all."""
    size = (1, 3, manifest.preprocess.height, manifest.preprocess.width)
    image = np.random.default_rng(0).normal(size=size).astype(np.float32)
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(WARM + ROUNDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run({IMAGE: image})
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: round(statistics.median(of[WARM:]), 3) for name, of in taken.items()}


def choose(milliseconds: Mapping[str, float], default: str) -> str:
    """The fastest, or the default where that is hardly slower."""
    best = min(milliseconds, key=lambda name: milliseconds[name])
    return best if milliseconds[best] < FASTER * milliseconds[default] else default


def _key(manifest: Manifest, rivals: Mapping[str, str], threads: int | None) -> str:
    hashes = {name: manifest.graph_files(name)[VISION.name].sha256 for name in rivals}
    parts = (hashes, _processor(), RUNTIME, thread_count(threads))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _processor() -> str:
    """Its name and its instructions."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(BYTES_READ)
    except OSError:
        text = ""
    told = re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", text, re.MULTILINE)
    return "\n".join(sorted(set(told))) or platform.processor()


def _writable(folder: Path) -> bool:
    there = next((f for f in (folder, *folder.parents) if f.exists()), None)
    return there is not None and os.access(there, os.W_OK)


def _kept(path: Path) -> Measured | None:
    """None for no file, and for what is none of ours: it is made anew."""
    try:
        return decode(Measured, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def _keep(path: Path, measured: Measured) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, f"{json.dumps(dataclasses.asdict(measured), indent=1)}\n".encode())
    except OSError as error:
        logger.warning("the measurement of precisions cannot be kept: %s", error)
