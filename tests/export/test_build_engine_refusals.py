"""`build_engine` from a command line: what it refuses, and what a stop leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from export.build_engine import main
from sdk import Grounder
from tests.building import Built
from tests.paths import ROOT
from tests.tiny_graphs import broken
from tests.waiting import WAIT, run_process

pytest_plugins = ["tests.building"]
pytestmark = pytest.mark.slow  # a build takes a minute


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
