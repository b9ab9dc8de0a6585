"""Costs of a method counted on a real step, and the comparison that gathers them."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import tiny_data, tiny_text_encoder, tiny_vision_weights
from train.papers.compare import main, summary
from train.papers.cost import saved_bytes


def test_bytes_kept_for_backward_are_those_of_the_activations() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(3, 4)
    # The input (for the first weight) and the ReLU's output (for itself and the second weight).
    assert saved_bytes(lambda: model(x), model) == 4 * (3 * 4 + 3 * 8)
    model.requires_grad_(False)
    assert saved_bytes(lambda: model(x), model) == 0


def test_a_frozen_encoder_costs_less_than_one_that_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tiny_data(tmp_path), tmp_path / "compare"
    flags = {
        "--data": root,
        "--methods": ["m2ist", "full"],
        "--seeds": [0, 1],
        "--epochs": 1,
        "--limit": 4,
        "--vision-weights": tiny_vision_weights(tmp_path),
        "--text": tiny_text_encoder(tmp_path),
        "--vocab": tiny_text_encoder(tmp_path) / "vocab.txt",
        "--image-size": 64,
        "--batch-photos": 2,
        "--out": out,
    }
    command = []
    for flag, value in flags.items():
        command += [flag, *map(str, value if isinstance(value, list) else [value])]
    assert main(command) == 0
    methods = json.loads((out / "compare.json").read_text())["methods"]
    assert methods["m2ist"]["seeds"] == 2 and methods["m2ist"]["accuracy_spread"] is not None
    ratios = methods["m2ist"]["to_full"]
    assert ratios["trained"] < 1 and ratios["saved_bytes"] < 1
    assert methods["full"]["to_full"] == dict.fromkeys(ratios, 1.0)
    # Done runs are not repeated: their figures are read.
    (out / "m2ist-0" / "figures.json").write_text(
        json.dumps({**json.loads((out / "m2ist-0" / "figures.json").read_text()), "accuracy": 77})
    )
    (out / "m2ist-1" / "figures.json").write_text(
        json.dumps({**json.loads((out / "m2ist-1" / "figures.json").read_text()), "accuracy": 79})
    )
    assert main(command) == 0
    again = json.loads((out / "compare.json").read_text())["methods"]["m2ist"]
    assert again["accuracy"] == 78 and again["accuracy_spread"] == pytest.approx(2**0.5)
    command[command.index("--limit") + 1] = "3"
    assert main(command) == 2  # figures of other settings are not passed off as these
    assert "other settings" in capsys.readouterr().err


def test_one_seed_has_no_spread() -> None:
    figures = {"accuracy": 50.0, "total": 9}
    costs = dict.fromkeys(("trained", "saved_bytes", "step_ms", "peak_bytes"), 4)
    row = summary({"m2ist": [figures | costs]})["m2ist"]
    assert row["accuracy_spread"] is None and "to_full" not in row
