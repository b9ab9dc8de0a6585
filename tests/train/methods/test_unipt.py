"""UniPT: ReLU attention guided by the last tap, confidence over taps, padding without effect."""

from pathlib import Path

import pytest
import torch
from transformers import DetrConfig, DetrModel, ResNetConfig

from tests.tiny import kept_for_backward, tiny_config, tiny_data, tiny_text_encoder
from tests.tiny_encoders import tiny_net
from train.build import build_model
from train.data.readers import read_flickr30k
from train.methods.unipt import JointUniPT
from train.methods.unipt.model import ParallelStream, UniPT
from train.trainer import Trainer


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    stream = ParallelStream([6, 6, 6], side=4, dim=5)
    taps = [torch.randn(2, 7, 6) for _ in range(3)]
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[:, 4:] = False
    short = stream([tap[:, :4] for tap in taps], mask[:, :4])
    torch.testing.assert_close(stream(taps, mask)[:, :4], short)
    other = [torch.where(mask[..., None], tap, torch.randn_like(tap)) for tap in taps]
    torch.testing.assert_close(stream(other, mask)[:, :4], short)


def test_without_a_mask_every_token_counts() -> None:
    stream = ParallelStream([6, 6], side=4, dim=5)
    taps = [torch.randn(2, 3, 6) for _ in range(2)]
    torch.testing.assert_close(stream(taps), stream(taps, torch.ones(2, 3, dtype=torch.bool)))


def test_trainable_parameters_are_exactly_those_of_the_mathematics() -> None:
    vision, text, dim, side = [16, 24, 8], [12, 12], 10, 4

    def linear(inputs: int, outputs: int) -> int:
        return inputs * outputs + outputs

    def stream(channels: list[int]) -> int:
        taps = sum(linear(c, side) + 2 * side for c in channels)
        ffn = linear(side, 2 * side) + linear(2 * side, side) + 2 * side
        return taps + linear(side, 1) + ffn + linear(side, dim) + 2 * dim

    built = UniPT(vision, text, dim, side)
    assert sum(p.numel() for p in built.parameters()) == stream(vision) + stream(text)


def test_a_single_tap_has_nothing_to_guide() -> None:
    with pytest.raises(ValueError, match="two taps"):
        UniPT([16], [12, 12], 8, 4)


def joint_of(detr: DetrModel) -> JointUniPT:
    parts = (detr.encoder, detr.decoder, detr.query_position_embeddings)
    return JointUniPT(*parts, torch.randn(9, 256), 128).eval()


@pytest.fixture(scope="module")
def joint() -> JointUniPT:
    """The authors' size but for the backbone, which the network does not contain."""
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 8], out_features=["stage4"])
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone_config=backbone
    )
    return joint_of(DetrModel(config).eval())


def test_the_joint_side_network_has_the_authors_size(joint: JointUniPT) -> None:
    heads = {id(p) for head in (joint.box, joint.score) for p in head.parameters()}
    side = [p for p in joint.parameters() if p.requires_grad and id(p) not in heads]
    assert sum(p.numel() for p in side) == 481_666


def test_the_joint_form_ignores_padding_and_keeps_phrases_apart(joint: JointUniPT) -> None:
    torch.manual_seed(1)
    visual, text = torch.randn(1, 9, 256), torch.randn(2, 5, 256)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.no_grad():
        answers = joint(visual, text, mask)
        alone = joint(visual, text[1:, :3], mask[1:, :3])
    boxes, logits = answers.boxes, answers.logits
    assert boxes.shape == (2, 100, 4) and logits.shape == (2, 100)
    torch.testing.assert_close(boxes[1:], alone.boxes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[1:], alone.logits, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(boxes[0], boxes[1], atol=1e-4)


def test_no_gradient_of_the_joint_form_enters_the_frozen_network(joint: JointUniPT) -> None:
    frozen = {p.data_ptr() for p in joint.parameters() if not p.requires_grad}
    with kept_for_backward() as saved:
        answers = joint(torch.randn(1, 9, 256), torch.randn(1, 4, 256), torch.ones(1, 4) > 0)
    (answers.boxes.sum() + answers.logits.sum()).backward()
    assert not {tensor.data_ptr() for tensor in saved} & frozen
    assert all(p.grad is not None for p in joint.parameters() if p.requires_grad)
    joint.zero_grad()


def test_the_joint_form_trains_and_resumes_through_the_trainer(tmp_path: Path) -> None:
    tiny_net("detr").save_pretrained(tmp_path / "detr")
    root = tiny_data(tmp_path)
    config = tiny_config(
        tmp_path, method="unipt_joint", vision=str(tmp_path / "detr"), batch_photos=2, epochs=1
    )
    photos = read_flickr30k(root, "train")
    vocab = tiny_text_encoder(tmp_path) / "vocab.txt"
    run = Trainer(config, photos, photos, vocab, tmp_path / "run")
    frozen = {n: p.clone() for n, p in run.model.named_parameters() if not p.requires_grad}
    run.fit()
    assert any(name.startswith("fusion.decoder.") for name in frozen)
    now = dict(run.model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    again = Trainer(config, photos, photos, vocab, tmp_path / "run")
    assert again.step == run.step and all(
        torch.equal(p, run.params[name]) for name, p in again.params.items()
    )


def test_the_joint_form_needs_a_joint_network(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a DETR"):
        build_model(tiny_config(tmp_path, method="unipt_joint"))
