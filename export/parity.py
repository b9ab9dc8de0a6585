"""Does a graph compute what the model computes? Names and shapes first, then values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.graphs import input_names, output_names, part_of
from sdk.backends.select import open_session
from sdk.backends.session import Session
from sdk.bundle.contract import (
    COLOURS,
    FUSION,
    IMAGE,
    LOGITS,
    MEMBER_LOGITS,
    TEXT,
    TEXT_TOKENS,
    VISION,
    VISUAL_TOKENS,
    GraphSpec,
    check_graphs,
)
from sdk.bundle.prior import text_inputs
from sdk.errors import GroundingError
from sdk.inputs.phrases import fusion_inputs
from train.methods.mapper.prior import prior_tokenizer
from train.model import GroundingModel

Arrays = dict[str, NDArray[Any]]

TOLERANCE = {VISION.name: 2e-3, TEXT.name: 1e-3, FUSION.name: 1e-3}
"""Largest allowed `deviation` of an FP32 graph: rounding adds up over the encoders' many layers."""


class ParityError(GroundingError):
    """An exported graph is not the model; lists every difference found."""


@dataclass(frozen=True)
class Case:
    """Inputs of one graph, and what the PyTorch model makes of them."""

    graph: str
    inputs: Arrays
    expected: Arrays
    coloured: bool = False
    """Whether the visual tokens end in shares of colours."""


@torch.no_grad()
def make_cases(
    model: GroundingModel,
    images: Sequence[NDArray[np.float32]],
    encoded: Sequence[Sequence[int]],
) -> list[Case]:
    """Cases for all graphs from real `images` (1, 3, H, W) and token lists of several lengths.

    Fusion gets the model's own tokens: one phrase at a time, and all of them padded together.
    """
    visions = [_case(model, VISION, {IMAGE: image}) for image in images]
    prior = prior_tokenizer(model.text)
    texts = [_case(model, TEXT, text_inputs(ids, prior)) for ids in encoded]
    tokens = [case.expected[TEXT_TOKENS][0] for case in texts]
    fusions: list[Case] = []
    for vision in visions:
        for group in ([tokens[0]], [tokens[-1]], tokens):
            inputs = {VISUAL_TOKENS: vision.expected[VISUAL_TOKENS], **fusion_inputs(group)}
            fusions.append(_case(model, FUSION, inputs))
    return [*visions, *texts, *fusions]


def _case(model: GroundingModel, graph: GraphSpec, inputs: Arrays) -> Case:
    given = [torch.from_numpy(inputs[name]) for name in input_names(model, graph)]
    outputs = part_of(model, graph.name)(*given)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    names = output_names(model, graph)
    expected = {name: t.numpy().copy() for name, t in zip(names, outputs, strict=True)}
    return Case(graph.name, inputs, expected, model.detector is not None)


def deviation(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest absolute difference, relative to the largest expected value if that is above 1.

    Infinite for another shape and for NaN.
    """
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return float("inf")
    return float(np.abs(actual - expected).max() / max(1.0, float(np.abs(expected).max())))


def deviations(session: Session, cases: Sequence[Case]) -> list[float]:
    """For each case, the largest deviation over the graph's outputs."""
    found = []
    for case in cases:
        both = (by_logit(x) for x in (session.run(case.inputs), case.expected))
        output, expected = map(by_colour, both) if case.coloured else both
        found.append(max(deviation(output[name], want) for name, want in expected.items()))
    return found


def by_logit(outputs: Arrays) -> Arrays:
    """Candidates from the most likely on; other outputs as they are.

    Rounding may swap the places of two cells that are chosen with nearly the same logit.
    """
    if MEMBER_LOGITS not in outputs:
        return outputs
    order = np.argsort(-outputs[LOGITS], axis=1, kind="stable")
    return {
        name: np.take_along_axis(array, order[..., None] if array.ndim == 3 else order, axis=1)
        for name, array in outputs.items()
    }


def by_colour(outputs: Arrays) -> Arrays:
    """Visual tokens with each colour's share of the image in place of its share of every cell.

    Which of two names a patch of pixels has is decided by a border: rounding may put one that lies
    on it on the other side.
    """
    if VISUAL_TOKENS not in outputs:
        return outputs
    tokens = outputs[VISUAL_TOKENS].copy()
    tokens[..., -COLOURS:] = tokens[..., -COLOURS:].mean(-2, keepdims=True)
    return {**outputs, VISUAL_TOKENS: tokens}


def check_parity(
    files: Mapping[str, Path], cases: Sequence[Case], size_wh: tuple[int, int]
) -> dict[str, float]:
    """Compare FP32 graphs with the model; graph -> largest deviation.

    Raises:
        ParityError: after all graphs were looked at, with every failure.
    """
    failures: list[str] = []
    largest: dict[str, float] = {}
    sizes = {"W": size_wh[0], "H": size_wh[1]}
    for graph, path in files.items():
        own = [case for case in cases if case.graph == graph]
        try:
            session = open_session(path, "cpu")
            check_graphs([GraphSpec(graph, session.inputs, session.outputs)], sizes)
            found = deviations(session, own)
        except GroundingError as error:
            failures.append(str(error))
            continue
        largest[graph] = max(found)
        for case, value in zip(own, found, strict=True):
            if value > TOLERANCE[graph]:
                shapes = {name: list(array.shape) for name, array in case.inputs.items()}
                failures.append(
                    f"graph {graph}, inputs {shapes}: expected a deviation from PyTorch of at most "
                    f"{TOLERANCE[graph]}, got {value:.3g}"
                )
    if failures:
        raise ParityError("the export is not the model:\n  " + "\n  ".join(failures))
    return largest
