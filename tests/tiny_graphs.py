"""The graphs of a tiny model, exported, with inputs and what the model makes of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.graphs import export_graphs
from export.parity import Case, make_cases
from tests.tiny import IMAGE_SIZE, VOCAB, tiny_config, tiny_model

OTHER_CANDIDATES = "a fusion with random weights chooses other candidates in a reduced form"
"""Why a reduced fusion is expected to differ: what holds for a trained one is not tested yet."""


@dataclass(frozen=True)
class TinyGraphs:
    files: dict[str, Path]
    """Graph -> FP32 file."""
    cases: list[Case]

    def cases_of(self, graph: str) -> list[Case]:
        return [case for case in self.cases if case.graph == graph]


def tiny_graphs(folder: Path) -> TinyGraphs:
    """Two images; phrases of 3, 6 and 32 tokens, for fusion alone and together."""
    model = tiny_model(folder).eval()
    rng = np.random.default_rng(0)
    size = (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    images = [rng.normal(size=size).astype(np.float32) for _ in range(2)]
    encoded = [[2, *rng.integers(5, len(VOCAB), length).tolist(), 3] for length in (1, 4, 30)]
    files = export_graphs(model, tiny_config(folder), folder)
    return TinyGraphs(files, make_cases(model, images, encoded))
