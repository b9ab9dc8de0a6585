"""Without PyTorch, training and export say in one line what to install."""

import os
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.waiting import run_process


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("-m train --epochs 1", "train"),
        ("-m train.papers.compare", "train"),
        ("-m train.session save runs/mine mine.safetensors", "train"),
        ("-m train.data.convert mdetr a.json --images . --out a.jsonl", "train"),
        ("export/build_engine.py --checkpoint a.safetensors --out a", "export"),
    ],
)
def test_what_to_install_is_one_line(tmp_path: Path, command: str, extra: str) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    done = run_process(
        [sys.executable, *command.split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "no torch here" in done.stderr
    assert "pip install torch==2.13.0" in done.stderr and f"'.[{extra}]'" in done.stderr
