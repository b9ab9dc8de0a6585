"""A model's three graphs as ONNX files with the names of `sdk.bundle.contract`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from sdk.bundle.contract import FUSION, GRAPHS, TEXT, VISION, GraphSpec
from train.build import MAX_TOKENS, preprocess_for
from train.config import TrainConfig
from train.fusion.base import Answers
from train.fusion.candidates import CandidatesFusion, Comparison
from train.methods.mapper.prior import prior_tokenizer
from train.model import GroundingModel

OPSET = 20
"""Read by ONNX Runtime from 1.18 on, which is older than any supported, and by TensorRT 10."""
MOST_PHRASES = 256
"""Upper bound of the dynamic phrase axis, for TensorRT's optimisation profiles."""


class _Part(nn.Module):
    """One of the model's three functions as a module, which is what the exporter takes."""

    def __init__(self, model: GroundingModel, function: str) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        result: Tensor | Answers = getattr(self.model, self.function)(*inputs)
        return shipped(result) if isinstance(result, Answers) else result


def shipped(answers: Answers) -> tuple[Tensor, ...]:
    """The outputs of the fusion's graph, in the order of the contract."""
    members = (answers.members,) if isinstance(answers, Comparison) else ()
    return answers.boxes, answers.logits, *members


def part_of(model: GroundingModel, graph: str) -> nn.Module:
    """The module that a graph of the contract is exported from; takes the graph's inputs."""
    functions = {VISION.name: "encode_vision", TEXT.name: "encode_text", FUSION.name: "fuse"}
    return _Part(model, functions[graph])


def export_graphs(model: GroundingModel, config: TrainConfig, folder: Path) -> dict[str, Path]:
    """Write `<graph>.fp32.onnx` for each graph of the contract; weights are inside the file."""
    files = {}
    for graph in GRAPHS:
        inputs, dynamic = _example(model, config, graph.name)
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                part_of(model, graph.name).eval(),
                inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=input_names(model, graph),
                output_names=output_names(model, graph),
                dynamic_shapes=(dynamic,),
                verbose=False,
            )
        assert program is not None
        path = folder / f"{graph.name}.fp32.onnx"
        onnx.save(stripped(program.model_proto), path)
        files[graph.name] = path
    return files


def input_names(model: GroundingModel, graph: GraphSpec) -> list[str]:
    """Of the graph's inputs those that the model takes."""
    everything = prior_tokenizer(model.text) is not None
    return [t.name for t in graph.inputs if everything or not t.optional]


def output_names(model: GroundingModel, graph: GraphSpec) -> list[str]:
    """Of the graph's outputs those that the model gives."""
    everything = graph is not FUSION or isinstance(model.fusion, CandidatesFusion)
    return [t.name for t in graph.outputs if everything or not t.optional]


def _example(
    model: GroundingModel, config: TrainConfig, graph: str
) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Inputs to trace with, and the axes of each that stay open."""
    phrases = torch.export.Dim("P", min=1, max=MOST_PHRASES)
    tokens = torch.export.Dim("L", min=2, max=MAX_TOKENS)
    count, length, others = 3, 7, 5  # above 1, which the tracer would take for a constant
    if graph == VISION.name:
        spec = preprocess_for(config)
        return (torch.zeros(1, 3, spec.height, spec.width),), ({},)
    if graph == TEXT.name:
        ids = torch.ones(1, length, dtype=torch.long)
        plain = (ids, torch.ones_like(ids)), ({1: tokens}, {1: tokens})
        prior = prior_tokenizer(model.text)
        if prior is None:
            return plain
        (inputs, axes), told = plain, torch.export.Dim("M", min=2, max=prior.pairs.max_tokens)
        prior_inputs = (ids[:, :others], torch.ones(1, length, others))
        return (*inputs, *prior_inputs), (*axes, {1: told}, {1: tokens, 2: told})
    visual = torch.zeros(1, *model.visual_shape)
    text = torch.zeros(count, length, model.text_width)
    mask = torch.ones(count, length, dtype=torch.long)
    asked = {0: phrases, 1: tokens}
    return (visual, text, mask), ({}, asked, asked)


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without stack traces, local paths and opsets that no node uses."""
    for owner in (model, model.graph, *model.graph.node, *_values(model.graph)):
        owner.ClearField("metadata_props")
        owner.ClearField("doc_string")
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _values(graph: onnx.GraphProto) -> Iterator[Any]:
    for values in (graph.initializer, graph.input, graph.output, graph.value_info):
        yield from values


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter and its optimiser remark on their way."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
