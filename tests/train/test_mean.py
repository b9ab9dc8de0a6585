"""The weights between two models."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_checkpoint
from train.checkpoint import load_checkpoint, save_checkpoint
from train.inference import load_model
from train.session import main


def changed(source: Path, out: Path, offset: float, *, leave_out: str = "") -> Path:
    groups, config, state = load_checkpoint(source)
    moved = {n: t + offset for n, t in groups["average"].items() if n != leave_out}
    save_checkpoint(out, {"average": moved}, config, state)
    return out


def test_it_is_as_far_from_both_as_it_is_told(tmp_path: Path) -> None:
    first = tiny_checkpoint(tmp_path)
    second = changed(first, tmp_path / "second.safetensors", 0.5)
    out = tmp_path / "mean.safetensors"
    assert main(["mean", str(first), str(second), str(out), "--share", "0.6"]) == 0
    before, after = (load_checkpoint(path)[0]["average"] for path in (first, out))
    for name, value in before.items():
        torch.testing.assert_close(after[name].float(), value + 0.3, rtol=1e-3, atol=1e-3)
    load_model(out)


def test_two_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tiny_checkpoint(tmp_path)
    name = next(iter(load_checkpoint(first)[0]["average"]))
    other = changed(first, tmp_path / "other.safetensors", 0.0, leave_out=name)
    out = tmp_path / "mean.safetensors"
    assert main(["mean", str(first), str(other), str(out)]) == 2
    assert "expected two models of the same settings" in capsys.readouterr().err
    assert not out.exists()
