"""The graphs of a tiny model, exported once for a run of the tests, with what the model answers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graphs import export_graphs
from export.parity import Case, make_cases
from sdk.bundle.contract import BOXES, GRAPHS
from tests.tiny import IMAGE_SIZE, VOCAB, tiny_config, tiny_model
from train.model import GroundingModel

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TinyGraphs:
    model: GroundingModel
    files: dict[str, Path]
    """Graph -> FP32 file."""
    cases: list[Case]

    def cases_of(self, graph: str) -> list[Case]:
        return [case for case in self.cases if case.graph == graph]


def tiny_graphs(tmp_path_factory: pytest.TempPathFactory) -> TinyGraphs:
    """Two images; phrases of 3, 6 and 32 tokens, for fusion alone and together.

    Tracing takes most of a minute, so the files are shared by all processes of a run.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "tiny-graphs"
    folder.mkdir(exist_ok=True)
    files = {graph.name: folder / f"{graph.name}.fp32.onnx" for graph in GRAPHS}
    with FileLock(folder / "lock"):
        model = tiny_model(folder).eval()
        if not all(path.exists() for path in files.values()):
            export_graphs(model, tiny_config(folder), folder)
    return TinyGraphs(model, files, tiny_cases(model))


def tiny_cases(model: GroundingModel) -> list[Case]:
    """Two images; phrases of 3, 6 and 32 tokens; and what the model says before any folding."""
    rng = np.random.default_rng(0)
    size = (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    images = [rng.normal(size=size).astype(np.float32) for _ in range(2)]
    encoded = [[2, *rng.integers(5, len(VOCAB), length).tolist(), 3] for length in (1, 4, 30)]
    return make_cases(model, images, encoded)


def reordered(found: Arrays, wanted: Arrays) -> Arrays:
    """A fusion's candidates in the order of the wanted ones, each the one with the nearest box.

    Where two cells score nearly the same, a reduced form may put the other one first.
    """
    if BOXES not in wanted:
        return found
    distance = np.abs(found[BOXES][:, None] - wanted[BOXES][:, :, None]).sum(-1)
    order = distance.argmin(-1)  # (P, K)
    return {
        name: np.take_along_axis(value, order[..., None] if value.ndim == 3 else order, 1)
        for name, value in found.items()
    }


def correlation(found: Arrays, wanted: Arrays) -> float:
    """The least of all outputs. Random weights spread what rounding changes: no distance holds."""
    found = reordered(found, wanted)
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in wanted.items()
    }
    return min(
        float(np.corrcoef(found[name].ravel(), wanted[name].ravel())[0, 1]) for name in wanted
    )


def broken(path: Path, folder: Path) -> Path:
    """A copy of a graph whose matrices are off by a tenth."""
    model = onnx.load(path)
    for weight in model.graph.initializer:
        value = numpy_helper.to_array(weight)
        if value.dtype == np.float32 and value.ndim > 1:
            weight.CopyFrom(numpy_helper.from_array(value * np.float32(1.1), weight.name))
    onnx.save(model, folder / path.name)
    return folder / path.name
