"""How fast a bundle is here: what `grounder bench` measures.

    preprocess             resize and normalise a frame
    vision, text, fusion   one graph alone, with the tensors of a real question
    new frame              preprocess, vision and fusion of phrases that are already encoded
    same frame             one more phrase: fusion, and of a phrase never seen text before it
    load, first answer     `Grounder.load`, and the first question after it

One caller asks one question after the other. What is timed takes turns, ten blocks each, so that a
machine that slows down slows all alike and shows in the spread.
"""

import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sdk._internal.arguments import whole
from sdk._internal.hashing import sha256_file
from sdk._internal.opencv import cv2
from sdk.backends.ort import physical_cores
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.contract import (
    FUSION,
    IMAGE,
    PHRASES_PER_CALL,
    TEXT,
    TEXT_TOKENS,
    VISION,
    VISUAL_TOKENS,
)
from sdk.bundle.manifest import MANIFEST_NAME, Manifest
from sdk.diagnostics.machine import machine
from sdk.diagnostics.record import FORMAT, some_phrases
from sdk.errors import GroundingError
from sdk.grounder import Grounder
from sdk.inputs.frames import as_bgr
from sdk.inputs.phrases import fusion_inputs
from sdk.text import PhraseReader

BLOCKS = 10
MOST_FRAMES = 1_000_000
LOADS = 5
NOUNS = ("cup", "dog", "car", "chair", "man")
ADJECTIVES = ("red", "big", "white", "small", "blue", "old", "green", "long")
PHRASES = [f"the {a} {n}" for a in ADJECTIVES for n in NOUNS][:PHRASES_PER_CALL]


def measure(
    bundle: str | os.PathLike[str] = DEFAULT_BUNDLE,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    engines: str | os.PathLike[str] | None = None,
    frames: int = 200,
    phrases: Sequence[int] = (1, 10),
    image: str | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Every figure of a bundle, as JSON holds it.

    Times are in milliseconds: mean, quartiles, p50, p90, p99. "per_second" counts frames with the
    fewest phrases on each, and phrases with the most. "memory_mib" is the process's resident
    memory, None outside Linux.

    It may also raise what `Grounder.load` and `Grounder.ground` raise.

    Args:
        frames: samples of each time, rounded up to tens.
        phrases: how many are asked of one frame.
        show: is told how long it will take.

    Raises:
        GroundingError: a number is out of range.
    """
    whole("frames", frames, 1, MOST_FRAMES, error=GroundingError)
    counts = sorted(set(phrases))
    if not counts or not 1 <= counts[0] <= counts[-1] <= len(PHRASES):
        raise GroundingError(f"expected 1 to {len(PHRASES)} phrases, got {counts}")
    folder = Path(bundle)
    noise = np.random.default_rng(0).integers(0, 256, (8, 480, 640, 3), np.uint8)
    pictures = [as_bgr(image)] if image else list(noise)

    def start() -> tuple[Grounder, float, float]:
        began = time.perf_counter()
        fresh = Grounder.load(
            folder, device=device, precision=precision, threads=threads, engines=engines
        )
        loaded = time.perf_counter()
        fresh.ground(pictures[0], PHRASES[0])
        return fresh, 1000 * (loaded - began), 1000 * (time.perf_counter() - loaded)

    memory = {"before": memory_mib("VmRSS")}
    grounder, *cold = start()
    memory["loaded"] = memory_mib("VmRSS")
    samples = _take_turns(dict(_calls(grounder, folder, cycle(pictures), counts)), frames, show)
    memory |= {"end": memory_mib("VmRSS"), "peak": memory_mib("VmHWM")}
    colds = [cold, *(start()[1:] for _ in range(LOADS - 1))]
    samples |= dict(zip(("load", "first answer"), map(list, zip(*colds, strict=True)), strict=True))

    times = {name: summary(taken) for name, taken in samples.items()}
    few, many = (times[_new_frame(number)]["mean"] for number in (counts[0], counts[-1]))
    info = dataclasses.asdict(grounder.info)
    height, width = pictures[0].shape[:2]
    record = {
        "format": FORMAT,
        "machine": dataclasses.asdict(machine()),
        "versions": _versions(),
        "bundle": {
            **{key: info[key] for key in ("name", "precision", "bytes", "graphs")},
            "sha256": sha256_file(folder / MANIFEST_NAME),
        },
        "settings": {
            "threads": threads or physical_cores(),
            "phrases": counts,
            "size_wh": [width, height],
        },
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "accuracy": _accuracy(grounder.manifest, info["precision"]),
        "milliseconds": times,
        "per_second": {"frames": 1000 / few, "phrases": 1000 * counts[-1] / many},
        "memory_mib": memory,
    }
    return dict(json.loads(json.dumps(record)))  # equal to what is read from a file


def _calls(
    grounder: Grounder, folder: Path, pictures: Iterator[NDArray[np.uint8]], counts: Sequence[int]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, by name."""
    frame = next(pictures)
    vision, text, fusion = (grounder.sessions[graph.name] for graph in (VISION, TEXT, FUSION))
    preprocess = grounder.manifest.preprocess
    reader = PhraseReader.of_bundle(folder, grounder.manifest.tokenizer, spelling=False)
    image = {IMAGE: preprocess.tensor(frame)}
    visual_tokens = vision.run(image)[VISUAL_TOKENS]
    phrases = [reader.inputs(phrase) for phrase in PHRASES[: counts[-1]]]
    encoded = [text.run(phrase)[TEXT_TOKENS][0] for phrase in phrases]

    yield "preprocess", lambda: preprocess.tensor(next(pictures))
    yield "vision", lambda: vision.run(image)
    yield "text", lambda: text.run(phrases[0])
    for number in counts:
        joint = fusion_inputs(encoded[:number]) | {VISUAL_TOKENS: visual_tokens}
        yield f"fusion, {some_phrases(number)}", partial(fusion.run, joint)

    def ask(asked: Sequence[str]) -> object:
        return grounder.ground(next(pictures), asked)

    for number in counts:
        yield _new_frame(number), partial(ask, PHRASES[:number])
    view = grounder.encode(frame)
    unseen = (f"the red cup number {number}" for number in count())
    yield "same frame, known phrase", lambda: view.ground(PHRASES[0])
    yield "same frame, new phrase", lambda: view.ground(next(unseen))


def _take_turns(
    calls: Mapping[str, Callable[[], object]], frames: int, show: Callable[[str], object]
) -> dict[str, list[float]]:
    """Milliseconds of every call, by name."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    began = time.perf_counter()
    for block in range(BLOCKS + 1):
        for name, call in calls.items():
            for _ in range(-(-frames // BLOCKS)):
                start = time.perf_counter()
                call()
                samples[name].append(1000 * (time.perf_counter() - start))
        if block == 0:  # the warm-up
            samples = {name: [] for name in calls}
            show(f"about {BLOCKS * (time.perf_counter() - began):.0f} s to go")
    return samples


def _new_frame(number: int) -> str:
    return f"new frame, {some_phrases(number)}"


def summary(samples: Sequence[float]) -> dict[str, float]:
    names, shares = ("q25", "p50", "q75", "p90", "p99"), (25, 50, 75, 90, 99)
    values = dict(zip(names, np.percentile(samples, shares).tolist(), strict=True))
    return {"samples": len(samples), "mean": float(np.mean(samples)), **values}


def memory_mib(key: str) -> float | None:
    """MiB of this process, by its name in /proc; None where there is no such file."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if key in line)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
    versions |= {"numpy": np.__version__, "opencv": cv2.__version__}
    engines = {name: sys.modules.get(name) for name in ("tensorrt", "tensorrt_rtx", "openvino")}
    return versions | {name: module.__version__ for name, module in engines.items() if module}


def _accuracy(manifest: Manifest, precision: str) -> dict[str, float | None]:
    """What the build measured of this precision; None for what it did not."""
    found = manifest.metrics.get("precisions", {}).get(precision, {})
    return {
        "accuracy": found.get("val_single_box", {}).get("accuracy"),
        "box_iou_to_fp32": found.get("box_iou_to_fp32"),
        "score_drift": found.get("score_drift"),
    }
