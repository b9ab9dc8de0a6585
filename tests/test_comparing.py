"""The comparing fusion: starts as the dense one, proposes half-way, is told what it proposed."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.test_fusion import DIM, GRID, random_inputs, randomised
from tests.test_train import steps, trainer
from tests.tiny import tiny_checkpoint, tiny_model
from train.config import TrainConfig
from train.fusion import ComparingFusion
from train.fusion.detections import CLASSES, DETECTIONS


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Cells with detections behind them, words and mask."""
    cells, text, mask = random_inputs()
    return torch.cat([cells, torch.rand(*cells.shape[:2], DETECTIONS)], -1), text, mask


def test_it_starts_as_the_dense_fusion_of_a_checkpoint(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    dense = tiny_model(tmp_path).eval()
    run = trainer(tmp_path, "compare", side_weights=str(checkpoint), fusion="comparing")
    model = run.model.eval()
    images, ids = torch.randn(1, 3, 64, 64), torch.tensor([[1, 5, 6, 2]])
    answers = []
    for grounder in (dense, model):
        visual = grounder.encode_vision(images)
        text = grounder.encode_text(ids, torch.ones_like(ids))
        answers.append(grounder.fuse(visual, text, torch.ones_like(ids)))
    torch.testing.assert_close(answers[1], answers[0])


def test_it_trains_on_labels_instances_and_names(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run", fusion="comparing", epochs=10, lr=3e-3)
    batch = next(iter(run.batches.epoch(0, 4)))
    run.model.train()
    before = {name: float(value.detach()) for name, value in run.loss(batch).items()}
    assert {"instances", "names"} < before.keys()
    for _ in range(5):
        steps(run, run.per_epoch)
    after = {name: float(value.detach()) for name, value in run.loss(batch).items()}
    assert after["instances"] < 0.9 * before["instances"]
    assert after["names"] < before["names"]


def test_proposals_are_made_half_way_for_training_alone() -> None:
    model = randomised(ComparingFusion(DIM, GRID, layers=4))
    given = inputs()
    answer = model(*given)
    *trained, boxes, logits, names = model.train()(*given)
    torch.testing.assert_close(trained, list(answer))  # no dropout: the mode changes nothing else
    assert boxes.shape == answer[0].shape and logits.shape == answer[1].shape
    assert names.shape == (3, CLASSES)
    with torch.no_grad():
        model.layers[2].ffn[0].weight.normal_()
    changed, _, *proposed = model(*given)
    assert torch.equal(proposed[0], boxes) and torch.equal(proposed[1], logits)
    assert not torch.allclose(changed, answer[0])


def test_what_is_proposed_is_told_to_the_layers_that_follow() -> None:
    model = randomised(ComparingFusion(DIM, GRID, layers=2))
    given = inputs()
    boxes, logits = model(*given)
    with torch.no_grad():
        model.proposals.head[-1].bias.add_(1.0)
    after_boxes, after_logits = model(*given)
    assert not torch.allclose(after_boxes, boxes) and not torch.allclose(after_logits, logits)


def test_one_photo_answers_for_many_phrases() -> None:
    model = randomised(ComparingFusion(DIM, GRID, layers=2))
    visual, text, mask = inputs()
    together = model(visual[:1], text, mask)
    apart = [model(visual[:1], text[p : p + 1], mask[p : p + 1]) for p in range(3)]
    for answer, *alone in zip(together, *apart, strict=True):
        torch.testing.assert_close(answer, torch.cat(alone))


def test_it_needs_the_neck_of_the_compact_encoder() -> None:
    with pytest.raises(ValueError, match="--fusion comparing: expected --vision compact"):
        TrainConfig(fusion="comparing", vision="facebook/dinov2-small")
