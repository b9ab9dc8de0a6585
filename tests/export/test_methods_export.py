"""Every tuning method to ONNX: graphs equal the model as trained, bundles ground a phrase."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from export.build_engine import main
from export.graphs import export_graphs
from export.parity import TOLERANCE, Case, check_parity, deviation
from sdk import BundleCorruptError, BundleMismatchError, Grounder
from sdk.bundle.contract import (
    ATTENTION_MASK,
    FUSION,
    IMAGE,
    INPUT_IDS,
    LOGITS,
    TEXT,
    TEXT_TOKENS,
    VISION,
    VISUAL_TOKENS,
)
from sdk.bundle.manifest import Manifest
from tests.tiny import IMAGE_SIZE, tiny_checkpoint, tiny_data, tiny_model
from tests.tiny_clip import POSITIONS, tiny_clip
from tests.tiny_encoders import tiny_net
from tests.tiny_graphs import tiny_cases
from train.build import use_vocab
from train.inference import load_model
from train.methods import DUAL_METHODS

pytest_plugins = ["tests.building"]
SIZE_WH = (IMAGE_SIZE, IMAGE_SIZE)
BUILT = ("m2ist", "mapper", "unipt")
"""Their graphs are those of a whole build; the others' are exported alone."""
CANDIDATES = {"method": "m2ist", "second_neck": True}
TRANSVG = {"fusion": "transvg"}
"""Traced faster, where the fusion is not the matter."""
COMMON = ("head_only", "lora", "adapter")
"""Methods that only fold into what every graph has."""
EXPORTED = [
    *(pytest.param({"method": m} | TRANSVG, marks=pytest.mark.nightly) for m in COMMON),
    *({"method": m} | TRANSVG for m in DUAL_METHODS if m not in BUILT + COMMON),
    {"method": "m2ist", "variant": "paper"} | TRANSVG,
    {"method": "m2ist", "vision": "dinov2"} | TRANSVG,
    {"method": "m2ist", "vision": "detr", "variant": "paper"} | TRANSVG,
    {"method": "mapper", "vision": "dinov2"},
    {"method": "unipt_joint", "vision": "detr"},
]


def name_of(changes: dict[str, Any]) -> str:
    return "-".join(map(str, changes.values()))


def flags(folder: Path, checkpoint: Path) -> list[str]:
    """A quick build: FP32 alone, few photos."""
    inputs = {
        "checkpoint": checkpoint,
        "data": tiny_data(folder, own=True),
        "vocab": folder / "text-encoder" / "vocab.txt",
        "out": folder / "bundle",
    }
    quick = ("--precisions=fp32", "--text-precision=fp32", "--eval-photos=2")
    return [*(f"--{name}={path}" for name, path in inputs.items()), *quick]


def check_phrase_free(path: Path) -> None:
    """The vision graph is fed the image and nothing else, and draws nothing at random.

    What it says of a frame is then the same before and after any phrase.
    """
    graph = onnx.load(path).graph
    assert [tensor.name for tensor in graph.input] == [IMAGE]
    known = {IMAGE, *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        assert "Random" not in node.op_type
        assert {name for name in node.input if name} <= known, node.name
        known |= set(node.output)


def check(files: dict[str, Path], cases: list[Case]) -> None:
    """Graphs equal the model, and the model answers to photo and phrase."""
    assert check_parity(files, cases, SIZE_WH).keys() == TOLERANCE.keys()
    check_phrase_free(files[VISION.name])
    shapes = {case.inputs[TEXT_TOKENS].shape[:2] for case in cases if case.graph == FUSION.name}
    assert shapes == {(1, 3), (1, 32), (3, 32)}  # one phrase, a long one, several padded
    for graph, output in ((VISION, VISUAL_TOKENS), (TEXT, TEXT_TOKENS), (FUSION, LOGITS)):
        one, other = [case.expected[output][0] for case in cases if case.graph == graph.name][:2]
        shared = min(len(one), len(other))
        assert deviation(one[:shared], other[:shared]) > 3 * TOLERANCE[graph.name]


@pytest.mark.parametrize("changes", EXPORTED, ids=name_of)
def test_the_graphs_of_a_checkpoint_equal_the_model_that_was_trained(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    if "vision" in changes:
        folder = tmp_path / "vision"
        net = tiny_net(changes["vision"])
        if changes["method"] == "unipt_joint":  # its queries need a start that tells them apart
            torch.manual_seed(0)
            net = type(net)(net.config)
        net.save_pretrained(folder)
        changes = changes | {"vision": str(folder)}
    model, config = load_model(tiny_checkpoint(tmp_path, **changes))
    assert {name: getattr(config, name) for name in changes} == changes
    check(export_graphs(model, config, tmp_path), tiny_cases(tiny_model(tmp_path, **changes)))


@pytest.mark.parametrize(
    "changes",
    [*({"method": method} | TRANSVG for method in BUILT if method != "m2ist"), CANDIDATES],
    ids=name_of,
)
def test_a_bundle_equals_the_model_that_was_trained_and_grounds_a_phrase(
    changes: dict[str, Any], tmp_path: Path, drawn: NDArray[np.uint8]
) -> None:
    checkpoint = tiny_checkpoint(tmp_path, **changes)
    assert main([*flags(tmp_path, checkpoint), "--calibration-photos=3"]) == 0
    bundle = tmp_path / "bundle"
    manifest = Manifest.load(bundle)
    assert manifest.method == changes["method"]
    files = {graph: bundle / f"{graph}.fp32.onnx" for graph in TOLERANCE}
    check(files, tiny_cases(tiny_model(tmp_path, **changes)))

    grounder = Grounder.load(bundle, device="cpu")
    results = grounder.ground(drawn, ["a bush", "the car on the left of the biggest dog"])
    for result in results:
        x1, y1, x2, y2 = result.box
        assert 0 <= x1 < x2 <= 120 and 0 <= y1 < y2 <= 90
        assert 0 < result.score < 1
    assert results[0].score != results[1].score


def test_a_bundle_holds_clips_text_tower_and_its_tokenizer(
    tmp_path: Path, drawn: NDArray[np.uint8]
) -> None:
    changes = {"method": "mapper", "prior": str(tiny_clip(tmp_path / "clip"))} | TRANSVG
    checkpoint = tiny_checkpoint(tmp_path, **changes)
    assert main([*flags(tmp_path, checkpoint), "--calibration-photos=3"]) == 0
    bundle = tmp_path / "bundle"
    spec = Manifest.load(bundle).tokenizer
    assert (spec.prior_file, spec.prior_tokens) == ("prior.json", POSITIONS)
    files = {graph: bundle / f"{graph}.fp32.onnx" for graph in TOLERANCE}
    check(files, tiny_cases(tiny_model(tmp_path, **changes)))

    with Grounder.load(bundle, device="cpu") as grounder:
        first, second = grounder.ground(drawn, ["a bush", "the car on the left of the biggest dog"])
        assert first.score != second.score
        inputs = grounder._reader.inputs("the car on the left of a bush")
        model, _ = load_model(checkpoint)
        use_vocab(model, bundle / "vocab.txt")
        ids, mask = (torch.from_numpy(inputs[name]) for name in (INPUT_IDS, ATTENTION_MASK))
        with torch.no_grad():
            expected = model.encode_text(ids, mask).numpy()  # reads the words by itself
        np.testing.assert_allclose(
            grounder.sessions[TEXT.name].run(inputs)[TEXT_TOKENS], expected, atol=1e-4
        )
        unread = replace(grounder._reader, prior=None)
        with pytest.raises(BundleMismatchError, match=r"prior_ids where .*prior_file"):
            Grounder(grounder.manifest, unread, grounder.sessions, "fp32")
    (bundle / "prior.json").write_text("{}")
    with pytest.raises(BundleCorruptError, match=r"prior\.json to have sha256"):
        Grounder.load(bundle)
