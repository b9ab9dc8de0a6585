"""Is INT8 worth it? For every graph: faster on this machine, and no less accurate.

Each candidate takes the place of its FP32 graph alone and answers the validation phrases, so that a
loss is charged to the graph that causes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.measure import Answers, interleaved_ms, median_box_iou
from export.parity import Case, deviations
from sdk.backends import open_session
from sdk.contract import ATTENTION_MASK, FUSION

MOST_POINTS_LOST = 0.5
"""Points of Acc@0.5 that INT8 may cost."""
LEAST_BOX_IOU = 0.9
"""Least median IoU between the boxes of INT8 and FP32."""
LEAST_GAIN = 0.05
"""Share of the latency that INT8 must save: less is within the noise of a measurement."""


class GateError(Exception):
    """A graph that has to be INT8 is less accurate than is allowed."""


@dataclass(frozen=True)
class GraphFigures:
    """One ONNX file, measured."""

    graph: str
    kind: str
    """"fp32", or the recipe of `export.quantize` that made it."""
    path: Path
    milliseconds: float
    """Median for one frame, one phrase, or one phrase on a frame."""
    deviation: float
    """Largest deviation from the PyTorch model, see `export.parity`."""
    points_lost: float | None = None
    """Acc@0.5 of FP32 minus its own; None where it was not asked, being no faster."""
    box_iou: float | None = None
    """Median IoU of its boxes with those of FP32."""

    @property
    def verdict(self) -> str:
        """ "holds", or why INT8 is not kept."""
        if self.points_lost is None or self.box_iou is None:
            return "not faster"
        return "holds" if holds(self.points_lost, self.box_iou) else "less accurate"


def is_faster(milliseconds: float, reference: float) -> bool:
    """Faster by more than noise."""
    return milliseconds < (1 - LEAST_GAIN) * reference


def holds(points_lost: float, box_iou: float) -> bool:
    """No less accurate than FP32, within the limits above."""
    return points_lost <= MOST_POINTS_LOST and box_iou >= LEAST_BOX_IOU


def measure_graphs(
    graph: str, files: Mapping[str, Path], cases: Sequence[Case]
) -> dict[str, GraphFigures]:
    """Latency and deviation of all files (kind -> path) of one graph."""
    sessions = {kind: open_session(path, "cpu") for kind, path in files.items()}
    own = [case for case in cases if case.graph == graph]
    timed = next(c for c in own if graph != FUSION.name or len(c.inputs[ATTENTION_MASK]) == 1)
    taken = interleaved_ms(list(sessions.values()), timed.inputs)
    return {
        kind: GraphFigures(graph, kind, files[kind], ms, max(deviations(session, own)))
        for (kind, session), ms in zip(sessions.items(), taken, strict=True)
    }


def judged(candidate: GraphFigures, answers: Answers, reference: Answers) -> GraphFigures:
    """`candidate` with what its answers lose against those of FP32."""
    return dataclasses.replace(
        candidate,
        points_lost=reference.accuracy - answers.accuracy,
        box_iou=median_box_iou(answers.recorder, reference.recorder),
    )


def fastest_that_holds(figures: Mapping[str, GraphFigures]) -> GraphFigures | None:
    """The candidate to ship as INT8, or None where FP32 is better."""
    kept = [f for kind, f in figures.items() if kind != "fp32" and f.verdict == "holds"]
    return min(kept, key=lambda f: f.milliseconds, default=None)
