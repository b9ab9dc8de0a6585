"""From samples to figures, what is wrong with them, and the plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.record import percentiles
from benchmarks.soak.stream import Sample, Soaked

WARM_UP = 0.4
"""Of the samples: by then the phrases that each grounder keeps are as many as it may."""
MOST_GROWTH = {"mib": 5.0, "threads": 3.0, "handles": 3.0}
"""The server's threads and its clients' connections come and go."""
HELD = ("mib", "threads", "handles")


def figures(soaked: Soaked, rounds: Sequence[Mapping[str, Any]], lost: int) -> dict[str, Any]:
    """What a run comes to.

    Growth is from the least of the first quarter after the warm-up to the least of the last one:
    more is held while a bundle is loaded, or clients are connected.
    """
    assert soaked.end is not None
    samples = soaked.samples
    warm = samples[int(WARM_UP * len(samples)) :]
    quarter = max(1, len(warm) // 4)
    held = {}
    for name in HELD:
        values = [float(getattr(sample, name)) for sample in warm]
        first, last = min(values[:quarter]), min(values[-quarter:])
        held[name] = {
            "first": first,
            "last": last,
            "growth": round(last - first, 2),
            "most": max(values),
            "after_the_end": getattr(soaked.end, name),
        }
    asked = sum(one["requests"] for one in rounds)
    worst = max(rounds, key=lambda one: one["milliseconds"]["p99"])
    return {
        "seconds": soaked.seconds,
        "frames": samples[-1].frame,
        "results": soaked.results,
        "camera_lost": lost,
        "phrases_changed": soaked.phrases,
        "precision_switched": soaked.precisions,
        "latency_ms": percentiles(soaked.latency_ms, (50, 95, 99)),
        "http": {
            "requests": asked,
            "refused": sum(one["refused"] for one in rounds),
            "median_ms": float(np.median([one["milliseconds"]["p50"] for one in rounds])),
            "worst_p99_ms": worst["milliseconds"]["p99"],
        },
        "held": held,
        "samples": [list(sample) for sample in samples],
    }


def flaws(bundles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What should not be, a line each."""
    wrong = []
    for name, run in bundles.items():
        for held, most in MOST_GROWTH.items():
            growth = run["held"][held]["growth"]
            if growth > most:
                wrong.append(f"{name}: {held} grow by {growth:g} after the warm-up")
        if run["http"]["refused"]:
            wrong.append(f"{name}: {run['http']['refused']} requests were refused")
        if (lost := run["settings"]["changes"]["losses"]) > run["camera_lost"]:
            wrong.append(f"{name}: the camera was lost {run['camera_lost']} times, not {lost}")
    return wrong


def line(name: str, run: Mapping[str, Any]) -> str:
    """One bundle's figures to print."""
    growth = ", ".join(f"{what} {run['held'][what]['growth']:+g}" for what in HELD)
    latency, http = run["latency_ms"], run["http"]
    return (
        f"{name}: {run['frames']:,} frames in {run['seconds']:g} s, camera lost "
        f"{run['camera_lost']}, phrases {run['phrases_changed']}, precision "
        f"{run['precision_switched']}; growth: {growth}; stream p50 {latency['p50']:.1f}, p99 "
        f"{latency['p99']:.1f} ms; {http['requests']} requests, median {http['median_ms']:.1f} ms"
    )


def plot(bundles: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Memory above, threads and handles below, a column a bundle."""
    figure = Figure(figsize=(5 * len(bundles), 5), layout="constrained")
    axes = figure.subplots(2, len(bundles), squeeze=False)
    for (name, run), (top, bottom) in zip(bundles.items(), axes.T, strict=True):
        samples = [Sample(*values) for values in run["samples"]]
        frames = [sample.frame for sample in samples]
        top.plot(frames, [sample.mib for sample in samples])
        top.set(title=f"{name} bundle", ylabel="resident MiB", ylim=(0, None))
        for held in ("threads", "handles"):
            bottom.plot(frames, [getattr(sample, held) for sample in samples], label=held)
        bottom.set(xlabel="frames", ylim=(0, None))
        bottom.legend()
        for axis in (top, bottom):
            axis.axvline(WARM_UP * frames[-1], color="grey", linestyle=":")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
