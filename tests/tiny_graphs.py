"""The graphs of a tiny model, exported once for a run of the tests, with what the model answers."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from export.graphs import export_graphs
from export.parity import Case, make_cases
from sdk.bundle.contract import GRAPHS
from tests.tiny import IMAGE_SIZE, VOCAB, tiny_config, tiny_model
from train.model import GroundingModel

OTHER_CANDIDATES = "a fusion with random weights chooses other candidates in a reduced form"
"""Why a reduced fusion is expected to differ: what holds for a trained one is not tested yet."""


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
    rng = np.random.default_rng(0)
    size = (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    images = [rng.normal(size=size).astype(np.float32) for _ in range(2)]
    encoded = [[2, *rng.integers(5, len(VOCAB), length).tolist(), 3] for length in (1, 4, 30)]
    return TinyGraphs(model, files, make_cases(model, images, encoded))
