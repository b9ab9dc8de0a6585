"""Reduced forms of a graph: INT8 with `onnxruntime.quantization`, FP16 with `export.half`.

All INT8 forms leave softmax, normalisation, residual sums and attention between activations float,
and so the narrow last layer that makes boxes and logits: it costs nothing and loses most. The
static forms, which take the ranges of activations from real data, share one calibration and leave
float what else loses too much, found by measurement.
"""

from __future__ import annotations

import logging
import math
import tempfile
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    create_calibrator,
)
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from export.half import NARROW, PRODUCTS, as_half, product_width, save_checked, to_half
from sdk.backends.select import open_session
from sdk.errors import PrecisionError

STATIC = ("static", "symmetric", "mixed")
"""Recipes with ranges from real data, which `Calibrated` makes; `quantize` makes the others."""
LAYERS = ["Conv", *PRODUCTS]
"""What they quantise."""
BOUNDED = ("Relu", "Clip")
"""Activations that a convolution in unsigned INT8 does in its rounding. Between others, as
hard-swish and squeeze-and-excite, each convolution costs two conversions and gains nothing: they
stay float in `static`."""
SYMMETRIC = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    # What follows a layer stays float: TensorRT fuses it into the layer.
    "OpTypesToExcludeOutputQuantization": LAYERS,
}
MOST_ERROR = 0.07
"""Largest `output_error` of a static form: layers are left float until it holds.

At 0.08 in its vision graph the default model loses half a point of Acc@0.5.
"""
PROBES = 8
"""Feeds that the error is measured on."""
BLOCK = 128
"""Values that share a scale in `blockwise`. Blocks of 32 make a text graph that is a megabyte
bigger and slower, and hardly nearer to FP32."""
EMBEDDING_BLOCK = 32
"""The same of embeddings, which are half of the text encoder and take 4 bits without a loss."""
INT8_PRODUCTS = 4
"""ONNX Runtime's accuracy level at which blockwise products are computed in 8 bits."""

Feed = Mapping[str, NDArray[Any]]
Outputs = Sequence[Mapping[str, NDArray[Any]]]
"""What a graph makes of each of some feeds."""


def quantize(recipe: str, source: Path, target: Path) -> None:
    """Write one of `export.targets.RECIPES` that needs no data of the FP32 graph in `source` to
    `target`, all of it or nothing.

    Raises:
        PrecisionError: an unknown recipe, or one of `STATIC`.
        BackendError: the graph made is not valid.
    """
    makers = {"half": to_half, "blockwise": _quantize_blockwise}
    if recipe not in makers:
        raise PrecisionError(f"expected a recipe in {list(makers)}, got {recipe!r}")
    makers[recipe](source, target)


class Calibrated:
    """An FP32 graph with the ranges of its activations, which all its static forms are made of.

    `feeds`: inputs of the graph from real data, read once, here; the first are kept to measure
    errors on.

    Raises:
        PrecisionError: no feeds.
    """

    layers: list[str]
    """Names of what is quantised."""

    def __init__(self, source: Path, feeds: Iterable[Feed]) -> None:
        feeds = iter(feeds)
        self._probes = list(islice(feeds, PROBES))
        if not self._probes:
            raise PrecisionError(
                f"expected real inputs to take the ranges of {source.name} from, got none"
            )
        self._expected = _outputs(source, self._probes)
        with _prepared(source) as prepared:
            calibrator = create_calibrator(
                prepared,
                [*LAYERS, *BOUNDED],
                augmented_model_path=str(prepared.with_name("augmented.onnx")),
                providers=["CPUExecutionProvider"],
            )
            calibrator.collect_data(_Reader(chain(self._probes, feeds)))
            self._ranges = calibrator.compute_data()
            self._model = load_model_with_shape_infer(prepared)
        self._floats = _float_nodes(self._model)
        quantised = (node for node in self._model.graph.node if node.op_type in LAYERS)
        self.layers = [node.name for node in quantised if node.name not in self._floats]
        self._activations, self._unbounded = activations(self._model)
        self._worst_first: dict[str, list[str]] = {}

    def write(self, recipe: str, target: Path, floats: Collection[str] = ()) -> None:
        """Write a static form to `target`, with the layers named in `floats` left float.

        Raises:
            BackendError: the graph made is not valid.
        """
        model = self._quantized(recipe, floats)
        save_checked(as_half(model) if recipe == "mixed" else model, target)

    def write_within(self, recipe: str, target: Path, most_error: float = MOST_ERROR) -> list[str]:
        """Write a static form whose `error` is at most `most_error`.

        Returns the names of the layers left float for it: as few as will do of those that lose
        most, and none where the whole graph holds. What no form of its kind rounds is not among
        them.
        """
        floats: list[str] = []
        if self.error(recipe) > most_error:
            worst = self.sensitive_layers(recipe)
            count = bisect_left(
                range(len(worst)),
                True,
                lo=1,
                key=lambda count: self.error(recipe, worst[:count]) <= most_error,
            )
            floats = worst[:count]
        self.write(recipe, target, floats)
        return floats

    def sensitive_layers(self, recipe: str) -> list[str]:
        """Names of the layers, the one whose quantisation loses most first.

        Each is quantised alone and what comes out of the graph compared with FP32. How well a
        layer's own input is rounded tells little: what follows drowns the error or amplifies it.
        """
        form = "static" if recipe == "static" else "symmetric"
        if form not in self._worst_first:
            tried = self.layers
            if form == "static":
                tried = [name for name in tried if name not in self._unbounded]
            losses = {}
            for name in tqdm(tried, desc=f"one layer {form}", unit="layer"):
                losses[name] = self.error(form, [other for other in self.layers if other != name])
            self._worst_first[form] = sorted(tried, key=lambda name: -losses[name])
        return self._worst_first[form]

    def error(self, recipe: str, floats: Collection[str] = ()) -> float:
        """`output_error` of a static form, on the CPU and leaving out what FP16 adds to it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trial.onnx"
            onnx.save(self._quantized(recipe, floats), path)
            return output_error(_outputs(path, self._probes), self._expected)

    def _quantized(self, recipe: str, floats: Collection[str]) -> onnx.ModelProto:
        unsigned = recipe == "static"
        left, kinds = {*self._floats, *floats}, LAYERS
        if unsigned:
            kinds = [*LAYERS, *BOUNDED]
            left |= self._unbounded
            # An activation is rounded with its convolution or not at all.
            left |= {
                name for name, layer in self._activations.items() if layer is None or layer in left
            }
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        with _quiet():
            quantizer = QDQQuantizer(
                model,
                per_channel=True,
                # Weights of 7 bits where the processor adds products of bytes in 16, as with AVX2
                # alone: with 8 the sums saturate, and processors would disagree.
                reduce_range=unsigned,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8 if unsigned else QuantType.QInt8,
                tensors_range=self._ranges,
                nodes_to_quantize=[],  # all
                nodes_to_exclude=sorted(left),
                op_types_to_quantize=kinds,
                extra_options={"MatMulConstBOnly": True} | ({} if unsigned else SYMMETRIC),
            )
            quantizer.quantize_model()
        quantizer.model.topological_sort()
        quantized: onnx.ModelProto = quantizer.model.model
        return quantized


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def output_error(actual: Outputs, expected: Outputs) -> float:
    """Root mean square of the difference, as a share of the expected values' own; of the worst
    output. Infinite for NaN."""
    shares = []
    for name in expected[0]:
        squares = sum(np.square(want[name]).sum() for want in expected) or 1.0
        pairs = zip(actual, expected, strict=True)
        errors = sum(np.square(got[name] - want[name]).sum() for got, want in pairs)
        shares.append(math.sqrt(errors / squares) if math.isfinite(errors) else math.inf)
    return max(shares)


def _outputs(path: Path, feeds: Sequence[Feed]) -> Outputs:
    session = open_session(path, "cpu")
    return [session.run(feed) for feed in feeds]


def activations(model: onnx.ModelProto) -> tuple[dict[str, str | None], set[str]]:
    """Where `BOUNDED` activations are.

    Returns:
        the name of each with the convolution it follows, None where that is none; and the names of
        the convolutions that neither lead to one nor follow one.
    """
    bounded = [node for node in model.graph.node if node.op_type in BOUNDED]
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    maker = {conv.output[0]: conv.name for conv in convs}
    behind = {node.name: maker.get(node.input[0]) for node in bounded}
    given = {node.output[0] for node in bounded}
    touched = {*behind.values(), *(c.name for c in convs if c.input[0] in given)}
    return behind, {conv.name for conv in convs} - touched


@contextmanager
def _prepared(source: Path) -> Iterator[Path]:
    """The graph as the quantisers want it, in a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "prepared.onnx"
        # Symbolic inference fails on BERT's mask, and then leaves files in the working folder.
        quant_pre_process(source, path, skip_symbolic_shape=True)
        yield path


def _quantize_blockwise(source: Path, target: Path) -> None:
    """Products in 8 bits, embeddings in 4, which are looked up and never multiplied."""
    with _prepared(source) as prepared:
        model = onnx.load(prepared)
        # Here, where the root logger is safe from it.
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        embeddings = MatMulNBitsQuantizer(
            model,
            bits=4,
            block_size=EMBEDDING_BLOCK,
            is_symmetric=True,
            op_types_to_quantize=("Gather",),
            quant_axes=(("Gather", 1),),
        )
        with np.errstate(invalid="ignore"):  # a block of zeros has a scale of zero
            embeddings.process()
        products = MatMulNBitsQuantizer(
            embeddings.model.model,
            bits=8,
            block_size=BLOCK,
            is_symmetric=True,
            accuracy_level=INT8_PRODUCTS,
            nodes_to_exclude=_float_nodes(model),
        )
        products.process()
    save_checked(products.model.model, target)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Matrix products that stay float: with no weight, a stack of weights or a narrow weight."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    products = (node for node in model.graph.node if node.op_type in PRODUCTS)
    return [node.name for node in products if (product_width(node, weights) or 0) < NARROW]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back advice on preprocessing that has been followed, and keep the root logger as it is:
    these modules would set it up, on import or with their first line, unless it has a handler."""
    previous, handler = logging.root.manager.disable, logging.NullHandler()
    logging.disable(logging.WARNING)
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
        logging.disable(previous)
