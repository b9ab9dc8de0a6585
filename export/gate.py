"""Is a reduced form worth it? For every graph: faster on this machine, and no less accurate.

Each candidate takes the place of its FP32 graph alone and answers the validation questions, so that
a loss is charged to the graph that causes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.measure import (
    MOST_POINTS_LOST,
    Answered,
    median_box_iou,
    points_lost,
)
from export.parity import Case, deviations
from sdk.backends.select import open_session
from sdk.backends.timing import LEAST_GAIN, interleaved_ms, sure_gain
from sdk.bundle.contract import ATTENTION_MASK, FUSION
from sdk.errors import GroundingError

LEAST_BOX_IOU = 0.9
"""Least median IoU between its boxes and those of FP32."""
ROUNDS = 60
"""Turns of each graph that is timed."""


class GateError(GroundingError):
    """A graph that has to be reduced is less accurate than is allowed."""


@dataclass(frozen=True)
class GraphFigures:
    """One ONNX file, measured."""

    graph: str
    kind: str
    """"fp32", or the recipe of `export.quantize` that made it."""
    path: Path
    deviation: float
    """Largest deviation from the PyTorch model, see `export.parity`."""
    milliseconds: float | None = None
    """Median for one frame, one phrase, or one phrase on a frame; None on another device."""
    gain: float | None = None
    """What it saves of FP32's latency, see `sdk.backends.timing.sure_gain`."""
    points_lost: float | None = None
    """See `export.measure.points_lost`; None where it was not asked, being no faster."""
    box_iou: float | None = None
    """Median IoU of its boxes with those of FP32."""

    @property
    def verdict(self) -> str:
        """ "holds", or why it is not kept."""
        if self.points_lost is None or self.box_iou is None:
            return "not faster"
        return "holds" if holds(self.points_lost, self.box_iou) else "less accurate"

    def to_dict(self, shipped: bool, left_float: Sequence[str]) -> dict[str, Any]:
        """For the manifest.

        Args:
            shipped: False for what was tried and left out.
            left_float: layers of an INT8 file that lose too much, and so are float in it.
        """
        return {
            "shipped": shipped,
            "bytes": self.path.stat().st_size,
            "milliseconds": self.milliseconds,
            "gain": self.gain,
            "deviation": self.deviation,
            "left_float": left_float,
            "points_lost": self.points_lost,
            "box_iou": self.box_iou,
        }


def holds(points_lost: float, box_iou: float) -> bool:
    """No less accurate than FP32, within the limits above."""
    return points_lost <= MOST_POINTS_LOST and box_iou >= LEAST_BOX_IOU


def measure_graphs(
    graph: str,
    files: Mapping[str, Path],
    cases: Sequence[Case],
    device: str,
    untimed: Collection[str],
) -> dict[str, GraphFigures]:
    """Deviation of all files (kind -> path) of one graph, latency of all but `untimed` kinds."""
    sessions = {kind: open_session(path, device) for kind, path in files.items()}
    own = [case for case in cases if case.graph == graph]
    figures = {
        kind: GraphFigures(graph, kind, files[kind], max(deviations(session, own)))
        for kind, session in sessions.items()
    }
    timed = [kind for kind in sessions if kind not in untimed]
    if "fp32" not in timed:
        return figures
    alone = next(c for c in own if graph != FUSION.name or len(c.inputs[ATTENTION_MASK]) == 1)
    taken = interleaved_ms([sessions[kind] for kind in timed], alone.inputs, ROUNDS)
    for kind, own_ms in zip(timed, taken, strict=True):
        figures[kind] = dataclasses.replace(
            figures[kind],
            milliseconds=float(np.median(own_ms)),
            gain=sure_gain(own_ms, taken[timed.index("fp32")]),
        )
    return figures


def may_pay(candidate: GraphFigures) -> bool:
    """Whether it is worth asking: faster by more than noise, or on another device."""
    return candidate.gain is None or candidate.gain > LEAST_GAIN


def judged(candidate: GraphFigures, answers: Answered, reference: Answered) -> GraphFigures:
    """`candidate` with what its answers lose against those of FP32."""
    return dataclasses.replace(
        candidate,
        points_lost=points_lost(answers, reference),
        box_iou=median_box_iou(answers.recorder, reference.recorder),
    )


def best_that_holds(candidates: Sequence[GraphFigures]) -> GraphFigures | None:
    """The candidate to ship, None where FP32 is better: of the fastest the one that loses least.

    Latencies that are nearer than `LEAST_GAIN` count as one; where none is known, the first one.
    """
    kept = [figures for figures in candidates if figures.verdict == "holds"]
    timed = [(f.milliseconds, f) for f in kept if f.milliseconds is not None]
    if not timed:
        return kept[0] if kept else None
    least = min(ms for ms, _ in timed)
    fast = [f for ms, f in timed if ms <= (1 + LEAST_GAIN) * least]
    return min(fast, key=lambda figures: figures.points_lost or 0.0)


def precisions_that_hold(answers: Mapping[str, Answered], untimed: Collection[str]) -> list[str]:
    """The reduced precisions that may be the default one, of those with answers.

    Each of a precision's graphs holds, but together they may not. What is `untimed` is no default,
    except for another device, where FP32 is not timed either.
    """
    fp32 = answers["fp32"]
    return [
        name
        for name, own in answers.items()
        if name != "fp32"
        and ("fp32" in untimed or name not in untimed)
        and holds(points_lost(own, fp32), median_box_iou(own.recorder, fp32.recorder))
    ]
