"""Training in two processes: every rank trains and validates its share, one writes the files."""

import csv
import os
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.tiny import tiny_config, tiny_data, tiny_text_encoder
from tests.waiting import run_process
from train.checkpoint import load_checkpoint
from train.data.readers import read_flickr30k


def launch(folder: Path, processes: int, epochs: int, out: str) -> str:
    """`torchrun -m train ...` on the CPU; returns what it printed."""
    config = tiny_config(folder)
    flags = {
        "--data": folder / "data",
        "--out": folder / out,
        "--vocab": tiny_text_encoder(folder) / "vocab.txt",
        "--vision-weights": config.vision_weights,
        "--text": config.text,
        "--image-size": config.image_size,
        "--dim": config.dim,
        "--batch-photos": 2,
        "--accumulate": 2,
        "--epochs": epochs,
        "--threads": 1,
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), "-m", "train"]
    command += [str(part) for pair in flags.items() for part in pair]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = run_process(command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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
