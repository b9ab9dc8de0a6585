"""Bundles that were damaged, edited or made to harm."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sdk import Grounder
from sdk._internal.hashing import sha256_file
from sdk.backends import ort
from sdk.bundle.manifest import MANIFEST_NAME
from tests.faults.case import Case, check_grounding, expect
from tests.tiny_bundle import write_tiny_bundle

JSON: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e308, 10**30, "", "x", "../x", "/etc/passwd", "a" * 300, "\0"),
    *([], {}, [1], {"a": 1}, ["x"] * 3, float("nan")),
)


def bundles(rng: Random, folder: Path) -> Iterator[Case]:
    """A good bundle with one thing changed."""
    good, bad = write_tiny_bundle(folder / "good"), folder / "bad"
    ort.FIRST_RUN_SECONDS = 3.0
    while True:
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        name = rng.choice((bytes_of_a_file, field, files, graph))(rng, bad)

        def run() -> None:
            grounder = Grounder.load(bad)
            frame = np.zeros((40, 60, 3), np.uint8)
            check_grounding(grounder.ground(frame, "the dog"), 60, 40)
            expect(not (bad / "beside").exists(), "data that no hash covers were loaded")

        yield Case(name, run)


def bytes_of_a_file(rng: Random, bad: Path) -> str:
    path = rng.choice(sorted(bad.iterdir()))
    data = bytearray(path.read_bytes())
    kind = rng.choice(["cut", "flip", "empty", "add"])
    if kind == "cut":
        del data[rng.randrange(len(data)) :]
    elif kind == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "empty":
        data.clear()
    else:
        data += rng.randbytes(9)
    path.write_bytes(data)
    return f"{kind} {path.name}"


def field(rng: Random, bad: Path) -> str:
    """Another value, or none, somewhere in the manifest."""
    path = bad / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    at, keys = manifest, []
    while True:
        key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
        keys.append(str(key))
        if not (isinstance(at[key], (dict, list)) and at[key]) or rng.random() < 0.3:
            break
        at = at[key]
    if rng.random() < 0.2:
        del at[key]
    else:
        at[key] = rng.choice(JSON)
    path.write_text(json.dumps(manifest))
    return f"manifest {'.'.join(keys)}"


def files(rng: Random, bad: Path) -> str:
    """Something that is no regular file in place of one."""
    path = rng.choice(sorted(bad.iterdir()))
    path.unlink()
    kind = rng.choice(["absent", "folder", "pipe", "loop", "device"])
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    return f"{kind} {path.name}"


def graph(rng: Random, bad: Path) -> str:
    """A graph that is not the contract's although its hash is right."""
    name = rng.choice(["vision", "text", "fusion"])
    path = bad / f"{name}.onnx"
    model = onnx.load(path)
    kind = rng.choice(["output", "shape", "type", "nan", "external", "loop"])
    output = model.graph.output[-1]
    if kind == "output":
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info("none", TensorProto.FLOAT, [1]))
        model.graph.node.append(helper.make_node("Constant", [], ["none"], value_floats=[1.0]))
    elif kind == "shape":
        output.type.tensor_type.shape.dim[-1].ClearField("dim_value")
        output.type.tensor_type.shape.dim[-1].dim_param = "X"
        last = model.graph.node[-1]
        inner, last.output[0] = f"{output.name}_wide", f"{output.name}_wide"
        model.graph.node.append(helper.make_node("Concat", [inner, inner], [output.name], axis=-1))
    elif kind == "type":
        output.type.tensor_type.elem_type = TensorProto.INT64
    elif kind == "nan":
        for weight in model.graph.initializer:
            if weight.data_type == TensorProto.FLOAT:
                values = onnx.numpy_helper.to_array(weight) * np.float32("nan")
                weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    elif kind == "external":
        onnx.save(model, path, save_as_external_data=True, location="beside", size_threshold=0)
        model = onnx.load(path, load_external_data=False)
    else:
        last = model.graph.node[-1]
        inner, last.output[0] = f"{output.name}_before", f"{output.name}_before"
        model.graph.node.extend(endless())
        model.graph.node.append(helper.make_node("Add", [inner, "still"], [output.name]))
    onnx.save(model, path)
    manifest = json.loads((bad / MANIFEST_NAME).read_text())
    for file in manifest["graphs"][name].values():
        if file["file"] == path.name:
            file.update(sha256=sha256_file(path), bytes=path.stat().st_size)
    (bad / MANIFEST_NAME).write_text(json.dumps(manifest))
    return f"{kind} {path.name}"


def endless() -> list[onnx.NodeProto]:
    """A loop whose condition never falls, and "still", what it would come to."""
    condition = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    carried = helper.make_tensor_value_info("value", TensorProto.FLOAT, [1])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Neg", ["value"], ["next"]),
        ],
        "body",
        [helper.make_tensor_value_info("step", TensorProto.INT64, []), condition, carried],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1]),
        ],
    )
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    return [
        helper.make_node("Constant", [], ["always"], value=true),
        helper.make_node("Constant", [], ["start"], value_floats=[1.0]),
        helper.make_node("Loop", ["", "always", "start"], ["still"], body=body),
    ]
