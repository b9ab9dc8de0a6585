"""Training in two processes: every rank trains and validates its share, one writes the files."""

import os
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.tiny import rows, tiny_data, tiny_training
from tests.waiting import run_process
from train.checkpoint import load_checkpoint
from train.data.readers import read_flickr30k


def launch(folder: Path, processes: int, epochs: int, out: str) -> str:
    """`torchrun -m train ...` on the CPU; returns what it printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), "-m", "train"]
    command += tiny_training(folder, epochs, "--accumulate", 2, "--out", folder / out)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = run_process(command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_share_the_photos_and_gather_the_metric(tmp_path: Path) -> None:
    root = tiny_data(tmp_path)
    said = launch(tmp_path, processes=2, epochs=1, out="two")
    assert said.count("epoch 1: Acc@0.5") == 1  # the first process alone reports
    launch(tmp_path, processes=1, epochs=1, out="one")
    (two,), (one,) = (rows(tmp_path / out / "accuracy.csv") for out in ("two", "one"))
    asked = [e for photo in read_flickr30k(root, "val") for e in photo.expressions if e.single]
    assert int(two["phrases"]) == int(one["phrases"]) == len(asked)
    assert int(one["step"]) == 2 * int(two["step"])  # half the photos each
    groups, _, state = load_checkpoint(tmp_path / "two" / "checkpoint.safetensors")
    assert state["step"] == int(two["step"])
    for name, value in groups["model"].items():
        assert value.isfinite().all(), name
    launch(tmp_path, processes=1, epochs=2, out="two")  # goes on alone
    first, second = rows(tmp_path / "two" / "accuracy.csv")
    assert (first["step"], first["accuracy"]) == (one["step"], two["accuracy"])
    assert int(second["step"]) == 2 * int(one["step"])
    best = max(float(first["accuracy"]), float(second["accuracy"]))
    assert load_checkpoint(tmp_path / "two" / "best.safetensors")[2]["accuracy"] == best
