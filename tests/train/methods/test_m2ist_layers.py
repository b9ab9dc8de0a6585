"""M2IST beside every sublayer: published size, formulas, shared experts, no gradient below."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, DetrConfig, DetrModel, ResNetConfig

from tests.tiny import kept_for_backward
from tests.tiny_encoders import random_image, tiny_net
from train.build import assemble, build_model
from train.config import TrainConfig
from train.encoders.text import TransformersText
from train.encoders.transformer import DetrEncoder
from train.encoders.vision import frozen
from train.methods.m2ist import LayerM2IST
from train.model import GroundingModel

VARIANTS = pytest.mark.parametrize("variant", ["released", "paper"])


def tiny_text(width: int = 24, layers: int = 5) -> TransformersText:
    """More layers than the vision encoder's three, frozen, random weights everywhere."""
    net = tiny_net("bert", hidden_size=width, num_hidden_layers=layers)
    return frozen(TransformersText(net, sublayers=True))


def tiny_vision() -> DetrEncoder:
    return frozen(DetrEncoder(tiny_net("detr"), sublayers=True))


def tiny_side(text: TransformersText, vision: DetrEncoder, variant: str) -> LayerM2IST:
    """No layer is left at its zero start."""
    torch.manual_seed(0)
    side = LayerM2IST(vision, text, dim=8, bottleneck=4, chained=variant == "paper")
    with torch.no_grad():
        for parameter in side.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.3)
    return side


def random_phrases() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randint(5, 30, (2, 6)), torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])


@pytest.fixture(scope="module")
def published() -> LayerM2IST:
    """The published sizes; weights have shapes but no values, as only shapes are asked for."""
    with torch.device("meta"):
        config = DetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone_config=ResNetConfig(out_features=["stage4"]),
        )
        vision = frozen(DetrEncoder(DetrModel(config), sublayers=True))
        text = frozen(TransformersText(BertModel(BertConfig()), sublayers=True))
        side = LayerM2IST(vision, text, dim=256, bottleneck=128, chained=False)
    norms = text.norms[:6]
    assert [(t.norm_attention, t.norm_out) for t in side.text] == norms  # BERT's first six layers
    return side


def test_the_published_size_has_the_published_number_of_parameters(published: LayerM2IST) -> None:
    trained = {n: p.numel() for n, p in published.named_parameters() if p.requires_grad}
    assert sum(n for name, n in trained.items() if not name.startswith("project_")) == 2_975_232
    assert not [name for name in trained if ".norm_attention." in name or ".norm_out." in name]
    assert published.pairs == len(published.vision) == len(published.text) == 6


def test_interaction_experts_are_the_same_objects_in_both_modalities(
    published: LayerM2IST,
) -> None:
    for shared, vision, text in zip(
        published.shared, published.vision, published.text, strict=True
    ):
        assert vision.shared is shared and text.shared is shared
    assert len(set(published.shared)) == 6  # one a pair of layers


def test_a_deeper_vision_encoder_gives_its_first_layers_too() -> None:
    vision = tiny_vision()
    side = tiny_side(tiny_text(layers=2), vision, "released")
    assert side.pairs == len(side.vision) == 2
    taps = vision.features(random_image("detr", 2))
    before = side.encode_vision(taps)
    changed = [tap + (number in (5, 6)) for number, tap in enumerate(taps)]  # the third layer's
    assert torch.equal(side.encode_vision(changed), before)


def test_a_text_encoder_narrower_than_the_vision_encoder_is_refused_before_weights_are_read(
    tmp_path: Path,
) -> None:
    tiny_net("dinov2").config.save_pretrained(tmp_path / "vision")
    tiny_net("bert", hidden_size=8).config.save_pretrained(tmp_path / "text")
    folders = {"vision": str(tmp_path / "vision"), "text": str(tmp_path / "text")}
    with pytest.raises(ValueError, match=r"at least as wide .*vision \(16\), got .*text \(8\)"):
        build_model(TrainConfig(**folders))


def test_the_visual_expert_adds_nothing_at_its_start_and_the_textual_one_can_learn() -> None:
    side = LayerM2IST(tiny_vision(), tiny_text(), dim=8, bottleneck=4, chained=False)
    layer = side.vision[0]
    attention, one, other = torch.randn(3, 2, 5, 16)
    assert torch.equal(layer(attention, one), layer(attention, other))
    nn.init.normal_(layer.expert.up.weight)
    assert not torch.allclose(layer(attention, one), layer(attention, other))
    # A LayerNorm follows the textual expert: from zero its first gradients would be enormous.
    side.text[0](*torch.randn(2, 2, 5, 24)).square().sum().backward()
    assert 0 < side.text[0].expert.up.weight.grad.norm() < 1e3


def tiny_grounding_model(variant: str) -> GroundingModel:
    """Fresh, with TransVG's fusion, as a run builds it."""
    config = TrainConfig(
        variant=variant, fusion="transvg", image_size=64, dim=16, bottleneck=4, layers=1
    )
    return assemble(config, tiny_vision(), tiny_text(), None)


@VARIANTS
def test_no_gradient_and_no_saved_activation_reaches_an_encoder(variant: str) -> None:
    model = tiny_grounding_model(variant)
    ids, mask = random_phrases()
    inside: list[Tensor] = []

    def collect(module: nn.Module, args: object, output: object) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        inside.extend(o for o in outputs if isinstance(o, Tensor))

    modules = [*model.vision.net.modules(), *model.text.net.modules()]
    hooks = [module.register_forward_hook(collect) for module in modules]
    with kept_for_backward() as saved:
        features, taps = model.vision.features(random_image("detr", 2)), model.text.taps(ids, mask)
        assert not saved and len(inside) > len(taps)
        assert not any(t.requires_grad for t in [*inside, *features, *taps])
        for hook in hooks:
            hook.remove()
        visual, text = model.join_vision(features), model.method.encode_text(taps, mask.bool())
        answers = model.fuse(visual, text, mask)
    assert saved
    activations = {t.untyped_storage().data_ptr() for t in inside}
    kept = [t for t in saved if t.untyped_storage().data_ptr() in activations]
    assert not any(t.requires_grad for t in kept)
    norms = {p for pair in model.text.norms for norm in pair for p in norm.parameters()}
    encoders = {*model.vision.parameters(), *model.text.parameters()}
    weights = {p.data_ptr() for p in encoders - norms}  # the text's adapters go through its norms
    assert not any(t.data_ptr() in weights for t in saved)

    (answers.boxes.sum() + answers.logits.sum()).backward()
    assert not any(p.requires_grad or p.grad is not None for p in encoders)
    for name, parameter in model.adapter_params().items():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
