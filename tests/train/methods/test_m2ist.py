"""M2IST: shared interaction experts, side-tuning without gradients in the encoders."""

from pathlib import Path

import pytest
import torch

from tests.tiny import kept_for_backward, tiny_model
from train.methods.m2ist.model import M2IST, ModalityExpert


def test_interaction_experts_are_the_same_objects_in_both_modalities() -> None:
    side = M2IST([16, 24, 32], [12, 12, 12, 12], dim=8, bottleneck=4, chained=False)
    assert side.pairs == 3
    for vision, text in zip(side.vision.shared, side.text.shared, strict=True):
        assert vision is text
    names = [name for name, _ in side.named_parameters()]
    assert not [n for n in names if n.startswith("text.shared.")]  # counted once


def test_trainable_parameters_are_exactly_those_of_the_mathematics() -> None:
    channels_v, channels_t, dim, r = [16, 24], [12, 12], 8, 4
    side = M2IST(channels_v, channels_t, dim, r, chained=False)

    def linear(inputs: int, outputs: int) -> int:
        return inputs * outputs + outputs

    def stream(channels: list[int]) -> int:
        project = linear(channels[-1], dim)
        adapters = (2 * linear(c, r) + 2 * c + linear(r, dim) for c in channels)
        return project + sum(adapters)

    expected = 2 * linear(r, dim) + stream(channels_v) + stream(channels_t)
    assert sum(p.numel() for p in side.parameters()) == expected


def test_the_modality_expert_starts_as_nothing() -> None:
    assert not ModalityExpert(16, 4, 8)(torch.randn(2, 5, 16)).any()


@pytest.mark.parametrize("method", ["m2ist", "unipt", "head_only"])
def test_no_gradient_and_no_saved_activation_reaches_an_encoder(
    method: str, tmp_path: Path
) -> None:
    model = tiny_model(tmp_path, method=method, fusion="transvg")
    encoders = [*model.vision.parameters(), *model.text.parameters()]
    assert encoders and not any(p.requires_grad for p in encoders)
    assert not any(m.training for m in [*model.vision.modules(), *model.text.modules()])

    image = torch.randn(2, 3, 64, 64)
    ids, mask = torch.randint(5, 30, (2, 6)), torch.ones(2, 6, dtype=torch.long)
    features = model.vision.features(image)
    assert not any(f.requires_grad for f in features)
    assert not any(t.requires_grad for t in model.text.taps(ids, mask))

    with kept_for_backward() as inside:
        visual, text = model.encode_vision(image), model.encode_text(ids, mask)
        answers = model.fuse(visual, text, mask)
    weights = {p.data_ptr() for p in encoders}
    assert inside and not any(t.data_ptr() in weights for t in inside)
    (answers.boxes.sum() + answers.logits.sum()).backward()
    assert all(p.grad is None for p in encoders)
    assert all(p.grad is not None for p in model.adapter_params().values())


def test_the_phrase_never_changes_the_visual_tokens(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method="m2ist")
    image = torch.randn(1, 3, 64, 64)
    before = model.encode_vision(image)
    for length in (3, 9):
        ids = torch.randint(5, 30, (2, length))
        model.encode_text(ids, torch.ones_like(ids))
        assert torch.equal(model.encode_vision(image), before)
