"""MaPPER: published sizes, LoCA in both kinds of vision encoder, what trains."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny import IMAGE_SIZE, tiny_model, tiny_vision_weights
from tests.tiny_encoders import tiny_net
from tests.tiny_frozen import PIXELS, frozen_dinov2, randomised, two_phrases
from tests.train.equations import Weights, array
from tests.train.methods.test_mapper_equations import loca
from train.build import load_compact
from train.encoders.transformer import DetrEncoder, ViT
from train.encoders.vision import CompactVision, frozen
from train.methods.mapper import MaPPER, localise_vision
from train.methods.mapper.model import DyPA, LoCA, thirds


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def vision_encoder(kind: str, folder: Path) -> tuple[CompactVision | ViT, Tensor]:
    """A frozen encoder and an image of its size."""
    if kind == "compact":
        vision, side = load_compact(str(tiny_vision_weights(folder))), IMAGE_SIZE
    else:
        vision, side = ViT(frozen_dinov2()), PIXELS
    return frozen(vision), torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_adapters_have_exactly_the_published_sizes() -> None:
    assert 3 * size(LoCA(768, 1)) == 1_581_912
    assert 3 * size(DyPA(768, 512)) == 208_323
    assert size(MaPPER([768], [768, 512], 256).pgt) == 983_808


def test_the_adapted_layers_end_the_thirds_and_none_is_taken_twice() -> None:
    assert thirds(12) == [3, 7, 11]
    assert [thirds(count) for count in (1, 2, 3, 6)] == [[0], [0, 1], [0, 1, 2], [1, 3, 5]]


@pytest.mark.parametrize("kind", ["compact", "dinov2"])
def test_localised_vision_starts_as_it_was_and_every_adapter_changes_it(
    kind: str, tmp_path: Path
) -> None:
    vision, image = vision_encoder(kind, tmp_path)
    before = vision.taps(vision.features(image))
    localise_vision(vision)
    vision.eval()
    assert len(vision.loca) == 3
    for now, was in zip(vision.taps(vision.features(image)), before, strict=True):
        assert torch.equal(now, was)
    for adapter in vision.loca:
        with torch.no_grad():
            adapter.up.weight.normal_()
        changed = vision.taps(vision.features(image))[-1]
        assert (changed - before[-1]).abs().max() > 1e-3
        with torch.no_grad():
            adapter.up.weight.zero_()


def test_loca_sits_beside_the_last_block_of_each_stage_of_the_compact_encoder(
    tmp_path: Path,
) -> None:
    vision, image = vision_encoder("compact", tmp_path)
    localise_vision(vision)
    randomised(vision.loca)
    seen: list[tuple[Tensor, Tensor]] = []
    for block, _ in vision.stages:
        block.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))
    with torch.no_grad():
        vision.features(image)
    for (x, out), (block, _), adapter in zip(seen, vision.stages, vision.loca, strict=True):
        changes = [loca(Weights(adapter), array(m.flatten(1).T), 0).T for m in x]
        change = torch.from_numpy(np.stack(changes)).float().reshape(out.shape)
        want = block.forward(x) + 0.2 * change
        largest = float(want.abs().max())
        torch.testing.assert_close(out / largest, want / largest, rtol=1e-4, atol=1e-4)
        assert (out - block.forward(x)).abs().max() > 1e-3 * largest


def test_detrs_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="MaPPER: expected the compact encoder or a ViT"):
        localise_vision(DetrEncoder(tiny_net("detr")))


@pytest.mark.parametrize("kind", ["compact", "dinov2"])
def test_gradients_reach_every_adapter_and_no_frozen_weight(kind: str, tmp_path: Path) -> None:
    changes, side = {}, IMAGE_SIZE
    if kind == "dinov2":
        frozen_dinov2().save_pretrained(tmp_path / "dinov2")
        changes, side = {"vision": str(tmp_path / "dinov2"), "image_size": PIXELS}, PIXELS
    model = tiny_model(tmp_path, method="mapper", fusion="transvg", **changes)
    model.train()
    for adapter in model.text.dypa:
        nn.init.ones_(adapter.scale.bias)  # a ReLU that is shut passes no gradient
    ids, mask = two_phrases()
    answers = model(torch.randn(2, 3, side, side), torch.tensor([0, 1]), ids, mask)
    (answers.boxes.sum() + answers.logits.sum()).backward()
    frozen_ones = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    assert all(n.startswith(("vision.net.", "text.encoder.net.")) for n in frozen_ones)
    assert len(frozen_ones) == sum(
        1 for e in (model.vision, model.text.encoder) for _ in e.net.parameters()
    )
    assert all(p.grad is None for p in frozen_ones.values())
    assert all(p.grad is not None for p in model.adapter_params().values())
    for adapters in (model.vision.loca, model.text.dypa, model.method.pgt):
        matrices = {n: p for n, p in adapters.named_parameters() if p.dim() > 1}
        assert [n for n, p in matrices.items() if not p.grad.any()] == []
