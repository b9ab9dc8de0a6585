"""Engines of a bundle's graphs for TensorRT, held to the answers of FP32 where a GPU is here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from export.gate import GateError, holds
from export.measure import Answered, ask, median_box_iou, points_lost
from sdk.backends.tensorrt.compile import CompiledGraph, compile_bundle
from sdk.backends.tensorrt.library import load_library
from train.data.samples import Asked


def compile_engines(
    bundle: Path, precisions: Sequence[str], library: str, questions: Asked, reference: Answered
) -> dict[str, list[CompiledGraph]]:
    """Precision -> its engines, written into the bundle.

    Args:
        library: "tensorrt" or "tensorrt-rtx". reference: what the all-FP32 model answers.

    Raises:
        GateError: an engine loses too much. EngineError: it cannot be built.
    """
    engines = {
        precision: compile_bundle(bundle, precision=precision, library=library)
        for precision in precisions
    }
    for precision in engines if load_library(library).device() else ():
        answers = ask(bundle, precision, questions, library)
        lost = points_lost(answers, reference)
        iou = median_box_iou(answers.recorder, reference.recorder)
        if not holds(lost, iou):
            raise GateError(
                f"the {precision} engines lose {lost:.2f} points, their boxes have a median "
                f"IoU of {iou:.3f} with those of FP32"
            )
    return engines
