"""`build_engine` end to end: a tiny checkpoint to a bundle that the SDK runs."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.build_engine import main
from sdk import Grounder
from sdk.backends.select import open_session
from sdk.bundle.contract import IMAGE, VISUAL_TOKENS
from sdk.bundle.manifest import Manifest
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.geometry.boxes import iou_xyxy
from sdk.geometry.decode import best_boxes
from sdk.inputs.frames import as_bgr
from tests.building import Built
from train.build import MAX_TOKENS, preprocess_for
from train.data.dataset import BatchMaker
from train.data.readers import read_expressions
from train.features import pad
from train.inference import load_model

pytest_plugins = ["tests.building"]
pytestmark = pytest.mark.slow  # a build takes a minute

PHRASES = ["the car on the left", "a bush", "the biggest dog in the middle of things", "apple"]


def torch_answers(
    built: Built, drawn: NDArray[np.uint8], phrases: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(P, 4) xyxy drawn pixels and (P,) largest logits, from the checkpoint through PyTorch."""
    model, config = load_model(built.checkpoint)
    tokenizer = WordPieceTokenizer.from_file(built.vocab, MAX_TOKENS)
    image = torch.from_numpy(preprocess_for(config).tensor(drawn))
    ids, mask = pad([tokenizer.encode(phrase) for phrase in phrases])
    with torch.no_grad():
        text = model.encode_text(ids, mask)
        answers = model.fuse(model.encode_vision(image), text, mask)
    best, largest = best_boxes(answers.boxes.numpy(), answers.logits.numpy())
    height, width = drawn.shape[:2]
    return preprocess_for(config).box_to_frame(best, (width, height)), largest


def test_the_bundle_is_whole_and_says_where_it_comes_from(built: Built) -> None:
    manifest = Manifest.load(built.bundle)
    manifest.verify(built.bundle)
    assert manifest.name == "tiny" and manifest.method == "m2ist"
    assert manifest.licence == "CC0" and manifest.training_data == "drawn boxes"
    assert str(built.bundle.parent) not in (built.bundle / "manifest.json").read_text()
    assert set(manifest.precisions) == {"fp32", "fp16", "int8"}
    assert manifest.default_precision != "fp16"  # which is for GPUs
    listed = {f.file for kinds in manifest.graphs.values() for f in kinds.values()}
    names = {path.name for path in built.bundle.iterdir()}
    assert names == listed | set(manifest.files) | {"manifest.json"}
    for precision in manifest.precisions:
        figures = manifest.metrics["precisions"][precision]
        assert figures["val_single_box"]["phrases"] == 12
        assert figures["box_iou_to_fp32"] > 0.5
    # Not zero: sums over the cells are shared out between threads.
    assert manifest.metrics["precisions"]["fp32"]["score_drift"] < 1e-6
    assert manifest.metrics["graphs"]["vision"]["fp32"]["deviation"] < 1e-3
    assert [p.name for p in built.bundle.parent.glob(".*")] == []


def test_the_bundle_answers_as_the_checkpoint_does(built: Built, drawn: NDArray[np.uint8]) -> None:
    grounder = Grounder.load(built.bundle, precision="fp32")
    results = grounder.ground(drawn, PHRASES)
    boxes, logits = torch_answers(built, drawn, PHRASES)
    np.testing.assert_allclose([r.box for r in results], boxes, atol=0.02)
    scores = [grounder.manifest.calibration.score(float(value)) for value in logits]
    np.testing.assert_allclose([r.score for r in results], scores, atol=1e-4)


def test_int8_boxes_stay_near(built: Built, drawn: NDArray[np.uint8]) -> None:
    fp32 = Grounder.load(built.bundle, precision="fp32").ground(drawn, PHRASES)
    int8 = Grounder.load(built.bundle, precision="int8").ground(drawn, PHRASES)
    overlaps = [
        iou_xyxy(np.array([a.box]), np.array([b.box]))[0, 0]
        for a, b in zip(fp32, int8, strict=True)
    ]
    assert np.median(overlaps) > 0.8


def test_visual_features_are_the_same_bits_whatever_the_phrase(
    built: Built, drawn: NDArray[np.uint8]
) -> None:
    grounder = Grounder.load(built.bundle)
    seen = set()
    for phrase in PHRASES:
        view = grounder.encode(drawn)
        before = view.visual_tokens.tobytes()
        view.ground(phrase)
        seen |= {before, view.visual_tokens.tobytes()}
    assert len(seen) == 1
    assert grounder.encode(drawn[::-1].copy()).visual_tokens.tobytes() not in seen


def test_training_and_runtime_make_the_same_tensor_of_a_photo(built: Built) -> None:
    grounder = Grounder.load(built.bundle, precision="fp32")
    _, config = load_model(built.checkpoint)
    photos = read_expressions(built.data, "train")
    settings = dataclasses.replace(config, phrases_per_photo=2, negatives=0, augment=True)
    batches = BatchMaker(preprocess_for(config), photos, settings)
    runtime = grounder.manifest.preprocess.tensor(as_bgr(photos[0].path))
    drawn = [batches.batch(photos[:1], epoch).images.numpy() for epoch in range(40)]
    plain = [image for image in drawn if np.array_equal(image, runtime)]  # not augmented
    assert plain and len(plain) < len(drawn)
    vision = open_session(built.bundle / "vision.fp32.onnx", "cpu")
    tokens = vision.run({IMAGE: plain[0]})[VISUAL_TOKENS]
    assert tokens.tobytes() == grounder.encode(photos[0].path).visual_tokens.tobytes()


def test_the_text_graph_is_int8_in_every_precision_unless_asked_otherwise(
    built: Built, exports_of: Callable[..., None], tmp_path: Path, drawn: NDArray[np.uint8]
) -> None:
    exports_of(lambda path: None)
    out = tmp_path / "bundle"
    assert main(built.flags(out, "--precisions=fp32", "--eval-photos=2")) == 0
    manifest = Manifest.load(out)
    assert dict(manifest.precisions) == {
        "fp32": {"vision": "fp32", "text": "int8", "fusion": "fp32"}
    }
    assert set(manifest.graphs["text"]) == {"int8"}
    assert manifest.metrics["graphs"]["text"]["blockwise"]["points_lost"] is not None
    assert manifest.metrics["precisions"]["fp32"]["val_contrastive"]["phrases"] > 0
    assert manifest.metrics["precisions"]["fp32"]["val_single_box"]["phrases"] == 4
    assert len(Grounder.load(out).ground(drawn, PHRASES)) == len(PHRASES)


def test_a_bundle_for_openvino(
    built: Built, exports_of: Callable[..., None], tmp_path: Path, drawn: NDArray[np.uint8]
) -> None:
    pytest.importorskip("openvino", reason="the openvino package is not installed")
    exports_of(lambda path: None)
    out = tmp_path / "bundle"
    assert main(built.flags(out, "--target=openvino", "--eval-photos=2")) == 0
    tried = Manifest.load(out).metrics["graphs"]
    assert [set(tried[graph]) for graph in ("vision", "text", "fusion")] == [
        {"fp32", "symmetric"},
        {"fp32", "blockwise"},
        {"fp32", "symmetric"},
    ]
    graphs = Grounder.load(out, device="openvino").info.graphs
    assert {name: graph.device for name, graph in graphs.items()} == {
        "vision": "openvino",
        "text": "cpu",
        "fusion": "openvino",
    }


def test_a_bundle_for_tensorrt_rtx_has_its_engines(
    built: Built,
    exports_of: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt-rtx package is not installed")
    exports_of(lambda path: None)
    out = tmp_path / "bundle"
    assert main(built.flags(out, "--target=tensorrt-rtx", "--eval-photos=2")) == 0
    assert "engine fp16" in capsys.readouterr().out
    manifest = Manifest.load(out)
    assert set(manifest.graphs["text"]) == {"fp16"}
    assert "fp16" in manifest.graphs["vision"] and "fp16" in manifest.graphs["fusion"]
    used = {file.sha256 for kinds in manifest.graphs.values() for file in kinds.values()}
    described = [json.loads(path.read_text()) for path in (out / "engines").glob("*.json")]
    assert {engine["key"]["model_sha256"] for engine in described} == used
    assert all(engine["bytes"] and not engine["refused"] for engine in described)
    # The same folder can be replaced, engines and all.
    assert main(built.flags(out, "--precisions=fp32", "--eval-photos=2")) == 0
    assert not (out / "engines").exists()
