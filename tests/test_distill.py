"""Learning from a trained model: the loss is least at its answers, the teacher stays as it is."""

from pathlib import Path

import pytest
import torch

from tests.test_train import steps, trainer
from tests.tiny import tiny_checkpoint, tiny_model
from train.checkpoint import CheckpointError
from train.distill import distillation_loss


def answers(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(P, N, 4) boxes and (P, N) logits."""
    torch.manual_seed(seed)
    return 0.2 + 0.3 * torch.rand(3, 16, 4), torch.randn(3, 16)


def test_the_loss_is_least_where_the_teacher_is() -> None:
    boxes, logits = answers(0)
    mine, my_logits = boxes.clone().requires_grad_(), logits.clone().requires_grad_()
    least = distillation_loss(mine, my_logits, boxes, logits)
    by_logits = torch.autograd.grad(least, my_logits)[0]
    assert by_logits.abs().max() < 1e-6
    for seed in range(1, 6):
        other, other_logits = answers(seed)
        assert distillation_loss(other, logits, boxes, logits) > least
        assert distillation_loss(boxes, other_logits, boxes, logits) > least


def test_boxes_count_where_the_teacher_looks_as_far_as_it_believes() -> None:
    boxes, logits = answers(0)
    logits[:, 5] = 9.0  # it looks at this cell alone

    def apart(cell: int, logits: torch.Tensor) -> float:
        moved = boxes.clone()
        moved[:, cell, 0] += 0.1
        same = distillation_loss(boxes, logits, boxes, logits)
        return float(distillation_loss(moved, logits, boxes, logits) - same)

    assert apart(5, logits) > 100 * abs(apart(6, logits))
    assert apart(5, logits) > 5 * apart(5, logits - 12)  # it believes nothing


def test_a_student_comes_closer_and_the_teacher_stays(tmp_path: Path) -> None:
    teacher = tiny_checkpoint(tmp_path)
    run = trainer(tmp_path, "student", teacher=str(teacher), fusion="decoder", epochs=20, lr=3e-3)
    before = {name: value.clone() for name, value in run.teacher.state_dict().items()}
    batch = next(iter(run.batches.epoch(0, 4)))
    assert 0 < int((~batch.labelled).sum()) < len(batch.texts)
    first = float(run.loss(batch)["teacher"].detach())
    learner = torch.optim.Adam(run.params.values(), 3e-3)
    for _ in range(20):
        run.loss(batch)["teacher"].backward()
        learner.step()
        learner.zero_grad()
    assert float(run.loss(batch)["teacher"].detach()) < 0.9 * first
    for name, value in run.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    taught = tiny_model(tmp_path).adapter_state()
    own = {name: p for name, p in run.teacher.named_parameters() if name in taught}
    assert own and all(torch.equal(own[name], taught[name]) for name in own)


def test_augmented_photos_go_through_the_frozen_encoder_once(tmp_path: Path) -> None:
    teacher = tiny_checkpoint(tmp_path)
    run = trainer(tmp_path, "student", teacher=str(teacher), fusion="decoder", augment=True)
    passes: list[int] = []
    for model in (run.model, run.teacher):
        model.vision.net.register_forward_hook(lambda *_: passes.append(1))
    steps(run, 2)
    assert len(passes) == 2


def test_another_fusion_starts_anew_on_the_side_network_of_a_checkpoint(tmp_path: Path) -> None:
    taught = tiny_model(tmp_path).adapter_state()
    run = trainer(
        tmp_path, "student", side_weights=str(tiny_checkpoint(tmp_path)), fusion="decoder"
    )
    fresh = trainer(tmp_path, "fresh", fusion="decoder").model.adapter_state()
    for name, value in run.model.adapter_state().items():
        assert torch.equal(value, (fresh if name.startswith("fusion.") else taught)[name]), name


def test_a_teacher_with_other_encoders_is_refused(tmp_path: Path) -> None:
    teacher = tiny_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="was trained on other frozen encoders"):
        trainer(tmp_path, "student", teacher=str(teacher), unfreeze_vision=True)


def test_a_teacher_with_other_candidates_is_refused(tmp_path: Path) -> None:
    teacher = tiny_checkpoint(tmp_path, fusion="transvg")
    with pytest.raises(CheckpointError, match="answers for other candidates"):
        trainer(tmp_path, "student", teacher=str(teacher))
