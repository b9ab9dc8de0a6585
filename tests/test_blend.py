"""Blending two checkpoints: weights in between, refusals, and the ends as they were."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_checkpoint, tiny_config, tiny_model
from train.blend import main
from train.checkpoint import load_checkpoint, save_checkpoint


def moved(folder: Path, start: Path, by: float) -> Path:
    """A checkpoint whose averaged weights are those of `start` plus `by`."""
    groups, config, state = load_checkpoint(start)
    path = folder / "moved.safetensors"
    average = {name: tensor + by for name, tensor in groups["average"].items()}
    save_checkpoint(path, {"average": average}, config, state)
    return path


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_weights_lie_between_those_before_and_after(tmp_path: Path, share: float) -> None:
    before = tiny_checkpoint(tmp_path)
    after, out = moved(tmp_path, before, by=2), tmp_path / "blend.safetensors"
    assert main([str(before), str(after), "--share", str(share), "--out", str(out)]) == 0
    groups, config, state = load_checkpoint(out)
    assert config == load_checkpoint(before)[1] and state == load_checkpoint(before)[2]
    for name, value in load_checkpoint(before)[0]["average"].items():
        torch.testing.assert_close(groups["average"][name], value + 2 * share)
    assert groups["average"].keys() == tiny_model(tmp_path).adapter_state().keys()


def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = tiny_checkpoint(tmp_path), tmp_path / "blend.safetensors"
    other = tmp_path / "other.safetensors"
    groups, _, state = load_checkpoint(before)
    save_checkpoint(other, groups, tiny_config(tmp_path), state | {"frozen_sha256": "0"})
    for after, share, message in (
        (other, "0.5", "other frozen encoders"),
        (tmp_path / "nowhere.safetensors", "0.5", "does not exist"),
        (before, "1.5", "--share: expected a number from 0 to 1"),
    ):
        assert main([str(before), str(after), "--share", share, "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()
