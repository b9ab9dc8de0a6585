"""What TensorRT-RTX builds, without a GPU: every graph of a model in every form that is for it.

    default    the default bundle's checkpoint
    m2ist      M2IST at the papers' size with random weights: DETR's encoder on ResNet-50 at 640 px,
               BERT-base, TransVG's fusion

Written to `results/engines.json`, and as a table into `docs/engines.md`. Whether an engine answers
as its graph does can be seen on a GPU alone: there `python export/build_engine.py --target
tensorrt-rtx` asks it the validation phrases.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.markdown import replaced, table
from benchmarks.record import ROOT, save
from export.graphs import export_graphs
from export.half import to_half
from export.quantize import Calibrated, Feed
from sdk.backends.tensorrt.builder import build_engine
from sdk.backends.tensorrt.library import TENSORRT_RTX, load_library
from sdk.bundle.contract import (
    ATTENTION_MASK,
    IMAGE,
    INPUT_IDS,
    PHRASES_PER_CALL,
    TEXT,
    TEXT_TOKENS,
    VISION,
    VISUAL_TOKENS,
)
from sdk.errors import EngineBuildError
from train.build import MAX_TOKENS
from train.config import TrainConfig
from train.inference import load_model
from train.model import GroundingModel
from train.papers.sizes import paper_config, paper_model
from train.provenance import describe

RESULTS = ROOT / "benchmarks" / "results" / "engines.json"
CHECKPOINT = ROOT / "train" / "weights" / "default_checkpoint.safetensors"
PAGE = ROOT / "docs" / "engines.md"
MODELS = ("default", "m2ist")
FORMS = ("fp32", "half", "symmetric", "mixed")
"""FP32 and the recipes of `export.quantize` that TensorRT takes."""
SIZES = {"P": (1, 1, PHRASES_PER_CALL), "L": (2, 8, MAX_TOKENS)}
TOKENS = 8


def model_of(name: str) -> tuple[GroundingModel, TrainConfig]:
    """A model in eval mode, and its settings."""
    if name == "default":
        return load_model(CHECKPOINT)
    return paper_model(name).eval(), paper_config(name)


def noise(model: GroundingModel, config: TrainConfig, graph: str) -> Iterator[Feed]:
    """Inputs to take INT8 ranges from: whether a graph builds does not depend on them."""
    rng = np.random.default_rng(0)
    tokens, width = model.visual_shape
    side = config.image_size
    for _ in range(2):
        mask = np.ones((1, TOKENS), np.int64)
        if graph == VISION.name:
            yield {IMAGE: rng.normal(size=(1, 3, side, side)).astype(np.float32)}
        elif graph == TEXT.name:
            yield {INPUT_IDS: rng.integers(1000, 20000, (1, TOKENS)), ATTENTION_MASK: mask}
        else:
            yield {
                VISUAL_TOKENS: rng.normal(size=(1, tokens, width)).astype(np.float32),
                TEXT_TOKENS: rng.normal(size=(1, TOKENS, model.dim)).astype(np.float32),
                ATTENTION_MASK: mask,
            }


def forms_of(fp32: Path, feeds: Iterator[Feed]) -> dict[str, Path]:
    """Form -> file, beside `fp32`."""
    files = {form: fp32.with_suffix(f".{form}.onnx") for form in FORMS} | {"fp32": fp32}
    to_half(fp32, files["half"])
    calibrated = Calibrated(fp32, feeds)
    for recipe in ("symmetric", "mixed"):
        calibrated.write(recipe, files[recipe])
    return files


def built(path: Path) -> dict[str, Any]:
    """Sizes in bytes and the time of a build, or what TensorRT said."""
    library = load_library(TENSORRT_RTX)
    start = time.perf_counter()
    try:
        plan = build_engine(path, library, profiles=SIZES)
    except EngineBuildError as error:
        return {"graph_bytes": path.stat().st_size, "error": str(error)}
    seconds = time.perf_counter() - start
    return {"graph_bytes": path.stat().st_size, "engine_bytes": len(plan), "seconds": seconds}


def page_table(record: dict[str, Any]) -> str:
    """Megabytes of engine and seconds of building, for people."""
    rows = []
    for name, graphs in record["models"].items():
        for graph, forms in graphs.items():
            cells = [
                "refused"
                if "error" in row
                else f"{row['engine_bytes'] / 1e6:.1f}, {row['seconds']:.0f}"
                for row in forms.values()
            ]
            rows.append([name, graph, *cells])
    machine = f"{record['machine']['cpu']}, no GPU, commit {record['machine']['commit']}"
    caption = f"MB, seconds; TensorRT-RTX {record['tensorrt_rtx']}; {machine}"
    return table(["model", "graph", *FORMS], rows) + f"\n\n<sub>{caption}</sub>"


def main() -> int:
    """Print a line a graph and form, write the JSON. Exit code 1 if one does not build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            model, config = model_of(name)
            graphs = export_graphs(model, config, Path(folder))
            for graph, fp32 in tqdm(graphs.items(), desc=name, unit="graph"):
                for form, path in forms_of(fp32, noise(model, config, graph)).items():
                    row = found.setdefault(name, {}).setdefault(graph, {})[form] = built(path)
                    size = row.get("engine_bytes", 0) / 1e6
                    line = row.get("error") or f"{size:7.1f} MB {row['seconds']:6.1f} s"
                    tqdm.write(f"{name:8s} {graph:7s} {form:10s} {line}")
    version = load_library(TENSORRT_RTX).version
    record = {"machine": describe(), "tensorrt_rtx": version, "models": found}
    save(args.json, record)
    PAGE.write_text(replaced(PAGE.read_text(), "rtx", page_table(record)))
    print(f"written to {PAGE}")
    rows = [row for graphs in found.values() for forms in graphs.values() for row in forms.values()]
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
