"""INT8 with `onnxruntime.quantization`.

`static`: unsigned activations with ranges seen on real frames, signed weights per channel, as Q/DQ
pairs; what convolutions need. `dynamic`: activation ranges taken at run time; what transformers
need. `blockwise`: activations and weights scaled in blocks along the product, so that BERT's few
very large activations do not drown the others. Softmax, normalisation, residual sums and attention
between activations stay float in all of them, and so does the narrow last layer that makes boxes
and logits: it costs nothing and loses most.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.graphs import stripped
from sdk.contract import FUSION, TEXT, VISION

RECIPES = {
    VISION.name: ("static",),
    TEXT.name: ("dynamic", "blockwise"),
    FUSION.name: ("static",),
}
"""What is tried for each graph.

Not `dynamic` for fusion, though it is faster: its ranges are those of all phrases in a call, and a
phrase must not score differently in other company.
"""
NARROW = 16
"""Layers with fewer outputs stay float."""
BLOCK = 32
"""Values that share a scale in `blockwise`."""
INT8_PRODUCTS = 4
"""ONNX Runtime's accuracy level at which blockwise products are computed in 8 bits."""

Feed = Mapping[str, NDArray[Any]]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize(recipe: str, source: Path, target: Path, feeds: Iterable[Feed]) -> None:
    """Write the INT8 form of the FP32 graph in `source` to `target`.

    `feeds`: inputs of the graph from real data, read by `static` only.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        # Symbolic inference fails on BERT's mask, and then leaves files in the working folder.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        common: dict[str, Any] = {
            "per_channel": True,
            "weight_type": QuantType.QInt8,
            "nodes_to_exclude": _float_nodes(onnx.load(prepared)),
            "extra_options": {"MatMulConstBOnly": True},
        }
        if recipe == "static":
            quantize_static(
                prepared,
                target,
                _Reader(feeds),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                op_types_to_quantize=["Conv", "Gemm", "MatMul"],
                calibration_providers=["CPUExecutionProvider"],
                **common,
            )
        elif recipe == "dynamic":
            quantize_dynamic(prepared, target, op_types_to_quantize=["MatMul", "Gather"], **common)
        else:
            quantize_dynamic(prepared, target, op_types_to_quantize=["Gather"], **common)
            _quantize_blockwise(target, common["nodes_to_exclude"])
    onnx.save(stripped(onnx.load(target)), target)


def _quantize_blockwise(path: Path, excluded: list[str]) -> None:
    """Replace the matrix products of the graph at `path` by blockwise 8-bit ones."""
    quantizer = MatMulNBitsQuantizer(
        onnx.load(path),
        bits=8,
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=INT8_PRODUCTS,
        nodes_to_exclude=excluded,
    )
    quantizer.process()
    onnx.save(quantizer.model.model, path)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Matrix products that stay float: with no weight, a stack of weights or a narrow weight."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    excluded = []
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            shape = weights.get(node.input[1], ())
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            if len(shape) != 2 or shape[0 if transposed else 1] < NARROW:
                excluded.append(node.name)
    return excluded


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back advice on preprocessing that has been followed."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
