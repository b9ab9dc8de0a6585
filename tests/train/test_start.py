"""Where a training starts from: `--side-weights`."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from train.build import build_model
from train.checkpoint import CheckpointError, load_checkpoint, load_start, save_checkpoint
from train.config import TrainConfig
from train.model import GroundingModel

WEIGHTS = Path(__file__).parents[2] / "train" / "weights"
START = WEIGHTS / "start_checkpoint.safetensors"
DEFAULT = WEIGHTS / "default_checkpoint.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> GroundingModel:
    """The default, whose frozen text encoder has random weights: MiniLM may not be installed."""
    size = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12}
    BertModel(BertConfig(vocab_size=8, intermediate_size=64, **size)).save_pretrained(tmp_path)
    return build_model(TrainConfig(text=str(tmp_path)))


@pytest.mark.parametrize("path", [START, DEFAULT], ids=lambda path: path.stem)
def test_the_committed_weights_start_the_default(model: GroundingModel, path: Path) -> None:
    groups, config, _ = load_checkpoint(path)
    load_start(model, path, config.fusion)
    state = model.adapter_state()
    assert groups["average"].keys() <= state.keys()
    for name, value in groups["average"].items():
        assert torch.equal(state[name], value.float()), name
    assert groups["average"].keys() == state.keys() or path == START


def test_a_fusion_of_another_kind_starts_anew(model: GroundingModel) -> None:
    before = {name: t.clone() for name, t in model.adapter_state().items()}
    load_start(model, DEFAULT, "transvg")
    after = model.adapter_state()
    kept = {name for name, t in after.items() if torch.equal(t, before[name])}
    assert {name for name in after if name.startswith("fusion.")} <= kept
    assert not any(name.startswith("method.") and after[name].ndim > 1 for name in kept)


def test_a_part_of_another_size_is_refused(model: GroundingModel, tmp_path: Path) -> None:
    groups, config, state = load_checkpoint(START)
    groups["average"]["fusion.head.2.weight"] = torch.zeros(6, 128)
    save_checkpoint(tmp_path / "other.safetensors", groups, config, state)
    with pytest.raises(CheckpointError, match=r"fusion\.head\.2\.weight: expected shape"):
        load_start(model, tmp_path / "other.safetensors", config.fusion)
