"""`build_engine` end to end: a tiny checkpoint to a bundle that the SDK runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export import pipeline
from export.build_engine import main
from sdk import Grounder
from sdk.backends.select import open_session
from sdk.bundle.contract import GRAPHS, IMAGE, VISUAL_TOKENS
from sdk.bundle.manifest import Manifest
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.geometry.boxes import iou_xyxy
from sdk.geometry.decode import best_boxes
from sdk.inputs.frames import as_bgr
from tests.paths import ROOT
from tests.tiny import tiny_checkpoint, tiny_data
from tests.tiny_graphs import broken
from tests.waiting import WAIT, run_process
from train.build import MAX_TOKENS, preprocess_for
from train.data.dataset import BatchMaker
from train.data.readers import read_expressions
from train.features import pad
from train.inference import load_model

PHRASES = ["the car on the left", "a bush", "the biggest dog in the middle of things", "apple"]


@dataclass(frozen=True)
class Built:
    """A finished bundle, and all it was built from."""

    checkpoint: Path
    data: Path
    vocab: Path
    bundle: Path

    def flags(self, out: Path, *more: str) -> list[str]:
        inputs = {"checkpoint": self.checkpoint, "data": self.data, "vocab": self.vocab, "out": out}
        return [*(f"--{name}={path}" for name, path in inputs.items()), *more]


LABELS = ("--name=tiny", "--licence=CC0", "--training-data=drawn boxes")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    built = Built(
        tiny_checkpoint(folder),
        tiny_data(folder, own=True),
        folder / "text-encoder" / "vocab.txt",
        folder / "bundle",
    )
    assert main(built.flags(built.bundle, "--text-precision=fp32", *LABELS)) == 0
    return built


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    """(90, 120, 3) uint8 BGR."""
    frame = np.random.default_rng(3).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    return cv2.GaussianBlur(frame, (0, 0), 4)


@pytest.fixture
def exports_of(built: Built, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the next build take the FP32 graphs of `built`, changed, and not trace them again."""

    def install(change: Callable[[Path], None]) -> None:
        def copies(model: object, config: object, folder: Path) -> dict[str, Path]:
            files = {g.name: folder / f"{g.name}.fp32.onnx" for g in GRAPHS}
            for path in files.values():
                shutil.copyfile(built.bundle / path.name, path)
                change(path)
            return files

        monkeypatch.setattr(pipeline, "export_graphs", copies)

    return install


def torch_answers(
    built: Built, frame: NDArray[np.uint8], phrases: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(P, 4) xyxy frame pixels and (P,) largest logits, from the checkpoint through PyTorch."""
    model, config = load_model(built.checkpoint)
    tokenizer = WordPieceTokenizer.from_file(built.vocab, MAX_TOKENS)
    image = torch.from_numpy(preprocess_for(config).tensor(frame))
    ids, mask = pad([tokenizer.encode(phrase) for phrase in phrases])
    with torch.no_grad():
        text = model.encode_text(ids, mask)
        answers = model.fuse(model.encode_vision(image), text, mask)
    best, largest = best_boxes(answers.boxes.numpy(), answers.logits.numpy())
    height, width = frame.shape[:2]
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


def test_the_bundle_answers_as_the_checkpoint_does(built: Built, frame: NDArray[np.uint8]) -> None:
    grounder = Grounder.load(built.bundle, precision="fp32")
    results = grounder.ground(frame, PHRASES)
    boxes, logits = torch_answers(built, frame, PHRASES)
    np.testing.assert_allclose([r.box for r in results], boxes, atol=0.02)
    scores = [grounder.manifest.calibration.score(float(value)) for value in logits]
    np.testing.assert_allclose([r.score for r in results], scores, atol=1e-4)


def test_int8_boxes_stay_near(built: Built, frame: NDArray[np.uint8]) -> None:
    fp32 = Grounder.load(built.bundle, precision="fp32").ground(frame, PHRASES)
    int8 = Grounder.load(built.bundle, precision="int8").ground(frame, PHRASES)
    overlaps = [
        iou_xyxy(np.array([a.box]), np.array([b.box]))[0, 0]
        for a, b in zip(fp32, int8, strict=True)
    ]
    assert np.median(overlaps) > 0.8


def test_visual_features_are_the_same_bits_whatever_the_phrase(
    built: Built, frame: NDArray[np.uint8]
) -> None:
    grounder = Grounder.load(built.bundle)
    seen = set()
    for phrase in PHRASES:
        view = grounder.encode(frame)
        before = view.visual_tokens.tobytes()
        view.ground(phrase)
        seen |= {before, view.visual_tokens.tobytes()}
    assert len(seen) == 1
    assert grounder.encode(frame[::-1].copy()).visual_tokens.tobytes() not in seen


def test_training_and_runtime_make_the_same_tensor_of_a_photo(built: Built) -> None:
    grounder = Grounder.load(built.bundle, precision="fp32")
    _, config = load_model(built.checkpoint)
    photos = read_expressions(built.data, "train")
    batches = BatchMaker(
        preprocess_for(config),
        photos,
        phrases_per_photo=2,
        negatives=0,
        seed=0,
        with_images=True,
        augment=True,
    )
    runtime = grounder.manifest.preprocess.tensor(as_bgr(photos[0].path))
    drawn = [batches.batch(photos[:1], epoch).images.numpy() for epoch in range(40)]
    plain = [image for image in drawn if np.array_equal(image, runtime)]  # not augmented
    assert plain and len(plain) < len(drawn)
    vision = open_session(built.bundle / "vision.fp32.onnx", "cpu")
    tokens = vision.run({IMAGE: plain[0]})[VISUAL_TOKENS]
    assert tokens.tobytes() == grounder.encode(photos[0].path).visual_tokens.tobytes()


def test_a_broken_graph_fails_the_gate_and_leaves_no_bundle(
    built: Built,
    exports_of: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def break_fusion(path: Path) -> None:
        if path.name.startswith("fusion"):
            broken(path, path.parent)

    exports_of(break_fusion)
    assert main(built.flags(tmp_path / "new")) == 1
    assert "graph fusion" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

    before = (built.bundle / "manifest.json").read_bytes()
    assert main(built.flags(built.bundle)) == 1
    assert (built.bundle / "manifest.json").read_bytes() == before


def test_the_text_graph_is_int8_in_every_precision_unless_asked_otherwise(
    built: Built, exports_of: Callable[..., None], tmp_path: Path, frame: NDArray[np.uint8]
) -> None:
    exports_of(lambda path: None)
    out = tmp_path / "bundle"
    assert main(built.flags(out, "--precisions=fp32", "--eval-photos=2")) == 0
    manifest = Manifest.load(out)
    assert dict(manifest.precisions) == {
        "fp32": {"vision": "fp32", "text": "int8", "fusion": "fp32"}
    }
    assert set(manifest.graphs["text"]) == {"int8"}
    assert manifest.metrics["graphs"]["text"]["dynamic"]["points_lost"] is not None
    assert manifest.metrics["precisions"]["fp32"]["val_contrastive"]["phrases"] > 0
    assert manifest.metrics["precisions"]["fp32"]["val_single_box"]["phrases"] == 4
    assert len(Grounder.load(out).ground(frame, PHRASES)) == len(PHRASES)


def test_run_as_a_script_from_anywhere(built: Built, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "export" / "build_engine.py")]
    flags = built.flags(tmp_path / "new", "--dry-run")
    done = run_process([*script, *flags], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "fusion as static" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--precisions=int8"], "--precisions: expected fp32, then any other of fp32, fp16, int8"),
        (["--precisions=fp32,bf16"], "'fp32,bf16'"),
        (["--text-precision=fp16"], "--text-precision: expected one of fp32, int8, got 'fp16'"),
        (["--calibration-photos=0"], "at least 1"),
        (["--eval-photos=-1"], "0 or more"),
        (["--checkpoint=none.safetensors"], "none.safetensors, which does not exist"),
        (["--data=nowhere"], "nowhere, which does not exist"),
        (["--vocab=nothing.txt"], "no vocabulary at nothing.txt"),
        ([f"--vocab={ROOT / 'README.md'}"], "expected"),
        ([f"--out={ROOT}"], "no part of a bundle"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    flags: list[str],
    message: str,
    built: Built,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*built.flags(tmp_path / "new"), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_build_needs_a_checkpoint_and_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, missing in ((["--out=a"], "--checkpoint"), (["--checkpoint=a"], "--out")):
        assert main(flags) == 2
        assert f"error: {missing}: expected a path, got none" in capsys.readouterr().err


def test_tensorrt_is_refused_with_what_to_install(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("tensorrt"):
        pytest.skip("TensorRT is installed")
    assert main(built.flags(tmp_path / "new", "--target=tensorrt")) == 2
    error = capsys.readouterr().err
    assert "tensorrt does not import" in error and "pip install tensorrt" in error
    assert "Jetson" in error and error.count("\n") == 1


def test_a_dry_run_says_what_is_tried_and_why(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(built.flags(tmp_path / "new", "--dry-run")) == 0
    lines = capsys.readouterr().out.splitlines()
    tried = [line.split(": ")[:2] for line in lines if line.startswith(("fp16", "int8"))]
    assert tried == [
        ["fp16", "vision as half"],
        ["fp16", "fusion as half"],
        ["int8", "vision as static"],
        ["int8", "text as dynamic"],
        ["int8", "text as blockwise"],
        ["int8", "fusion as static"],
    ]
    assert "ONNX Runtime's CPU" in "\n".join(lines)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_needs_neither_files_nor_pytorch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    done = run_process(
        [
            sys.executable,
            str(ROOT / "export/build_engine.py"),
            "--dry-run",
            "--text-precision=fp32",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fp32: all graphs") and "text as" not in done.stdout


def test_a_bundle_for_openvino(
    built: Built, exports_of: Callable[..., None], tmp_path: Path, frame: NDArray[np.uint8]
) -> None:
    pytest.importorskip("openvino", reason="the openvino package is not installed")
    exports_of(lambda path: None)
    out = tmp_path / "bundle"
    assert main(built.flags(out, "--target=openvino", "--eval-photos=2")) == 0
    tried = Manifest.load(out).metrics["graphs"]
    assert [set(tried[graph]) for graph in ("vision", "text", "fusion")] == [
        {"fp32", "symmetric"},
        {"fp32", "dynamic", "blockwise"},
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


def test_a_killed_build_leaves_the_old_bundle(built: Built, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(built.bundle, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    script = [sys.executable, str(ROOT / "export" / "build_engine.py")]
    process = subprocess.Popen(
        [*script, *built.flags(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "exporting" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=WAIT)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    Grounder.load(out)


def test_a_full_disk_leaves_no_bundle(
    built: Built,
    exports_of: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    resource = pytest.importorskip("resource", reason="no file size limits on this system")
    exports_of(lambda path: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        assert main(built.flags(tmp_path / "new")) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "File too large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
