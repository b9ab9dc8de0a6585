"""FP16 baked into a graph: strongly typed TensorRT and ONNX Runtime on CUDA then compute the same
from one file. Inputs and outputs stay as `sdk.bundle.contract` has them.

FP32 stay, found by what the nodes are and not by their names:

- softmax, normalisation and other sums over many values, with the products that make attention
  scores: these overflow or lose their small terms first;
- the narrow last layers, which make boxes and logits: steps of FP16 near 1 are half a pixel in a
  picture of 1000 pixels;
- comparisons, as those that name the colour of a pixel: rounding would turn some of them over;
- whatever reads a constant that FP16 cannot hold, such as a mask of -3e38;
- arithmetic between two of those or the graph's ends, where rounding would only add casts.

Own code after three converters were measured on these graphs (onnx 1.23): that of ONNX Runtime 1.31
casts one tensor twice under one name and goes through FP16 between FP32 neighbours, so that scores
overflow after all; onnxconverter-common 1.16 leaves casts of integers in FP32; AutoCast of
nvidia-modelopt 0.47 is right, makes what this makes, and requires onnx 1.21.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    shape_inference,
)

from export.graphs import stripped
from sdk._internal.files import replacing
from sdk.errors import BackendError

NARROW = 16
"""Layers with fewer outputs stay float."""
PRODUCTS = ("MatMul", "Gemm")
FLOAT, HALF = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)

_SUFFIX = {FLOAT: "_float", HALF: "_half"}
_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
_SOFTMAXES = {"Softmax", "LogSoftmax"}
_NORMS = {"LayerNormalization", "InstanceNormalization", "GroupNormalization"}
_SUMS = {"ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "CumSum"}
_POWERS = {"Pow", "Sqrt", "Reciprocal", "Exp", "Log"}
_COMPARISONS = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
_SENSITIVE = _SOFTMAXES | _NORMS | _SUMS | _POWERS | _COMPARISONS
_SOURCES = {"Cast", "Constant", "ConstantOfShape", "Range"}
"""They make FP32 because their attributes say so."""
_ARITHMETIC = {
    *("Add", "Sub", "Mul", "Div", "Neg", "Clip", "Where", "Sigmoid", "Cast", "Identity"),
    *("ReduceMax", "ReduceMin"),
}
_SHAPES = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Slice", "Split", "Concat"}
_CARRIERS = _ARITHMETIC | _SHAPES
"""What scores pass on their way to the softmax, and boxes on their way out."""


def to_half(source: Path, target: Path) -> None:
    """Write the FP16 form of the FP32 graph in `source` to `target`, all of it or nothing.

    Also takes the `symmetric` form of `export.quantize`: what is not INT8 then becomes FP16.

    Raises:
        BackendError: the graph holds what cannot be converted. Nothing is left in `target`.
    """
    save_checked(as_half(onnx.load(source)), target)


def as_half(model: ModelProto) -> ModelProto:
    """The FP16 form of a graph in memory, not checked."""
    model = shape_inference.infer_shapes(model, data_prop=True)
    _convert(model, float_nodes(model))
    return model


def save_checked(model: ModelProto, target: Path) -> None:
    """Check `model`, types and shapes included, and write it to `target`, all of it or nothing.

    Raises:
        BackendError: it is not valid ONNX.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise BackendError(
            f"expected a valid ONNX graph for {target.name}, got {error}; build without this "
            "precision, and report the graph"
        ) from error
    with replacing(target) as temporary:
        onnx.save(stripped(model), temporary)


def product_width(node: NodeProto, weights: Mapping[str, tuple[int, ...]]) -> int | None:
    """Outputs of a MatMul or Gemm with a 2-D weight; None for other nodes. `weights`: shapes."""
    shape = weights.get(node.input[1], ()) if node.op_type in PRODUCTS else ()
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return shape[0 if transposed else 1] if len(shape) == 2 else None


def float_nodes(model: ModelProto) -> set[str]:
    """The nodes that stay FP32, each by its first output. `model` with its types inferred."""
    graph, floats = model.graph, _floats(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    too_large = {t.name for t in graph.initializer if t.name in floats and not _fits(t)}
    kept = _score_products(graph, floats)
    for node in graph.node:
        width = product_width(node, shapes)
        narrow = width is not None and width < NARROW
        if node.op_type in _SENSITIVE or narrow or too_large.intersection(node.input):
            kept.add(node.output[0])
    return kept | _between(graph, kept, floats)


def _floats(model: ModelProto) -> set[str]:
    """Names of all FP32 tensors."""
    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {v.name for v in values if v.type.tensor_type.elem_type == FLOAT} | {
        t.name for t in graph.initializer if t.data_type == FLOAT
    }


def _fits(tensor: TensorProto) -> bool:
    """Infinity does: it stays what it is."""
    values = np.abs(numpy_helper.to_array(tensor))
    return not (np.isfinite(values) & (values > _LARGEST)).any()


def _score_products(graph: GraphProto, floats: set[str]) -> set[str]:
    """The products whose results come to a softmax through carriers alone."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting = [node.input[0] for node in graph.node if node.op_type in _SOFTMAXES]
    found, seen = set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in floats or name not in makers:
            continue
        seen.add(name)
        if makers[name].op_type in PRODUCTS:
            found.add(makers[name].output[0])
        elif makers[name].op_type in _CARRIERS:
            waiting.extend(makers[name].input)
    return found


def _between(graph: GraphProto, kept: set[str], floats: set[str]) -> set[str]:
    """The carriers on a way from FP32, a node of `kept` or an input, to FP32."""
    down = floats.intersection(value.name for value in graph.input)
    up = floats.intersection(value.name for value in graph.output)
    for node in graph.node:
        if node.output[0] in kept:
            down |= floats.intersection(node.output)
            up |= floats.intersection(node.input)
    carriers = [node for node in graph.node if node.op_type in _CARRIERS]
    for node in carriers:
        if down.intersection(node.input):
            down |= floats.intersection(node.output)
    for node in reversed(carriers):
        if up.intersection(node.output):
            up |= floats.intersection(node.input)
    return {
        node.output[0]
        for node in carriers
        if down.intersection(node.input) and up.intersection(node.output)
    }


def _convert(model: ModelProto, kept: set[str]) -> None:
    """Make every node FP16 that is not in `kept`, with a cast wherever a tensor changes type."""
    graph, floats = model.graph, _floats(model)
    weights = {t.name: t for t in graph.initializer if t.name in floats}
    ends = floats.intersection(value.name for value in graph.output)
    names: dict[int, dict[str, str]] = {FLOAT: {name: name for name in weights}, HALF: {}}
    names[FLOAT] |= {value.name: value.name for value in graph.input}
    nodes: list[NodeProto] = []

    def named(name: str, kind: int) -> str:
        """The name of a tensor in a type, after making it where this is the first use."""
        if name not in names[kind]:
            new = name if kind == FLOAT and name in ends else f"{name}{_SUFFIX[kind]}"
            if name in weights:
                graph.initializer.append(_as_half(weights[name], new))
            else:
                made = names[FLOAT if kind == HALF else HALF][name]
                nodes.append(helper.make_node("Cast", [made], [new], f"{new}_cast", to=kind))
            names[kind][name] = new
        return names[kind][name]

    for node in graph.node:
        kind = FLOAT if node.output[0] in kept or node.op_type in _SOURCES else HALF
        for index, name in enumerate(node.input):
            if name in floats:
                scales = node.op_type == "Resize" and index > 0  # must be FP32
                node.input[index] = named(name, FLOAT if scales else kind)
        for index, name in enumerate(node.output):
            if name in floats:
                new = f"{name}{_SUFFIX[HALF]}" if kind == HALF and name in ends else name
                node.output[index] = names[kind][name] = new
        nodes.append(node)
    for name in ends:
        named(name, FLOAT)
    used = {name for node in nodes for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    for value in graph.value_info:
        if value.name in names[HALF].values():
            value.type.tensor_type.elem_type = HALF
    for field, items in ((graph.node, nodes), (graph.initializer, initializers)):
        del field[:]
        field.extend(items)


def _as_half(tensor: TensorProto, name: str) -> TensorProto:
    """What is above zero stays above it: as an epsilon or a scale it is divided by."""
    values = numpy_helper.to_array(tensor)
    smallest = np.copysign(_SMALLEST, values)
    tiny = (values != 0) & (np.abs(values) < _SMALLEST)
    return numpy_helper.from_array(np.where(tiny, smallest, values).astype(np.float16), name)
