"""What "auto" means on a CPU where a bundle has several precisions for one: the fastest, measured.

    <bundle>/engines/precision-<key>.json     what was measured, for what, and what was chosen

What INT8 gains differs between processors, so the machine that built a bundle cannot tell. The
vision graphs are timed in turn when the bundle is first loaded on a machine, which takes a second.
A machine that was busy then may have chosen badly: without the file it is measured again.
"""

import dataclasses
import hashlib
import json
import logging
import platform
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk._internal.files import replace_file
from sdk.backends.ort import RUNTIME, OrtSession, thread_count
from sdk.backends.session import Session
from sdk.backends.timing import LEAST_GAIN, interleaved_ms, sure_gain
from sdk.bundle.contract import IMAGE, VISION
from sdk.bundle.manifest import Manifest
from sdk.bundle.schema import decode

FILE_NAME = "precision-{}.json"
"""With the first digits of the key: others are of other machines or numbers of threads."""
FOR_GPUS = "fp16"
"""Not compared: a CPU computes its graphs in FP32."""
ROUNDS, WARM = 15, 3
BYTES_READ = 1 << 16

logger = logging.getLogger("grounder.backend")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the file holds."""

    key: str
    """Hash of all that decides about it: for other graphs, processors, runtimes, numbers of threads
    and rules it is measured again."""
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
        return default, "the bundle's choice, its only vision graph for a CPU"
    key = _key(manifest, rivals, threads)
    path = kept_in / FILE_NAME.format(key[:12])
    measured = _kept(path, key, rivals)
    if measured is None:
        if not _writable(kept_in):
            return default, _cannot_be_kept(kept_in)
        manifest.verify(folder, list(rivals.values()))
        sessions = {n: OrtSession(folder / f, "cpu", threads) for n, f in rivals.items()}
        times = timed(manifest, sessions)
        medians = {name: round(float(np.median(of)), 3) for name, of in times.items()}
        # Where several processes measured at once, the file that is there decides.
        measured = _kept(path, key, rivals) or Measured(key, medians, choose(times, default))
        text = f"{json.dumps(dataclasses.asdict(measured), indent=1)}\n"
        try:
            replace_file(path, text.encode())
        except OSError:  # a full disk; unkept, the next load might choose another
            return default, _cannot_be_kept(kept_in)
        logger.info("precision %s chosen of %s ms", measured.precision, medians)
    told = ", ".join(f"{name} {ms:.1f} ms" for name, ms in measured.milliseconds.items())
    if measured.precision == default:
        least = f"{LEAST_GAIN:.0%} in four of five rounds"
        return default, f"the bundle's choice, no other saves {least} on this machine: {told}"
    return measured.precision, f"the faster vision graph on this machine: {told}"


def precisions_for_cpu(manifest: Manifest) -> dict[str, str]:
    """Precision -> file of its vision graph, the bundle's choice first; each graph once."""
    names = sorted(manifest.precisions, key=lambda name: name != manifest.default_precision)
    graphs = {name: manifest.graph_files(name)[VISION.name] for name in names if name != FOR_GPUS}
    first: dict[str, str] = {}
    for name, graph in graphs.items():
        first.setdefault(graph.sha256, name)
    return {name: graphs[name].file for name in first.values()}


def timed(manifest: Manifest, sessions: Mapping[str, Session]) -> dict[str, NDArray[np.float64]]:
    """Precision -> milliseconds of its vision graph in each of ROUNDS rounds."""
    size = (1, 3, manifest.preprocess.height, manifest.preprocess.width)
    image = np.random.default_rng(0).normal(size=size).astype(np.float32)
    taken = interleaved_ms(list(sessions.values()), {IMAGE: image}, WARM + ROUNDS)
    return dict(zip(sessions, taken[:, WARM:], strict=True))


def choose(times: Mapping[str, NDArray[np.float64]], default: str) -> str:
    """The fastest of those that are clearly faster than the default, or the default.

    The bundle's own choice goes first, as the build knows what it answers.
    """
    sure = [name for name, of in times.items() if sure_gain(of, times[default]) > LEAST_GAIN]
    return min(sure, key=lambda name: np.median(times[name]), default=default)


def _key(manifest: Manifest, rivals: Mapping[str, str], threads: int | None) -> str:
    hashes = {name: manifest.graph_files(name)[VISION.name].sha256 for name in rivals}
    rule = (ROUNDS, WARM, LEAST_GAIN, manifest.default_precision)
    parts = (hashes, _processor(), RUNTIME, thread_count(threads), rule)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _processor() -> str:
    """Name and instructions of the first one."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read(BYTES_READ).split("\n\n")[0]
    except OSError:
        first = ""
    told = re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", first, re.MULTILINE)
    return "\n".join(told) or platform.processor()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _kept(path: Path, key: str, rivals: Collection[str]) -> Measured | None:
    """None for no file, for a measurement of something else, and for what is none of ours."""
    try:
        measured = decode(Measured, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None
    whole = measured.precision in rivals and set(measured.milliseconds) == set(rivals)
    return measured if measured.key == key and whole else None


def _cannot_be_kept(folder: Path) -> str:
    return f"the bundle's choice: no measurement can be kept in {folder}; name another folder"
