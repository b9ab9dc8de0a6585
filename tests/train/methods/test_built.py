"""Names to methods and fusions: what is built, and what is put into the encoders."""

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from tests.tiny import tiny_vision_weights
from tests.tiny_encoders import tiny_net
from train.build import MAX_TOKENS, assemble, load_compact
from train.config import TrainConfig
from train.encoders.text import TransformersText
from train.encoders.transformer import DetrBackbone, DetrEncoder, ViT
from train.encoders.vision import CompactVision, frozen
from train.fusion import FUSIONS, CandidatesFusion, TransVGFusion
from train.methods import (
    METHODS,
    adapt,
    build_method,
    reads_sublayers,
)
from train.methods.bottleneck import BottleneckAdapter
from train.methods.head_only import HeadOnly
from train.methods.m2ist import M2IST, LayerM2IST
from train.methods.mapper import GuidedText, MaPPER
from train.methods.mapper.model import LoCA
from train.methods.mapper.prior import SelfPrior
from train.methods.unipt import JointInputs, UniPT


def bert(*, sublayers: bool = False) -> TransformersText:
    return frozen(TransformersText(tiny_net("bert"), sublayers=sublayers))


def compact(folder: Path) -> CompactVision:
    return frozen(load_compact(str(tiny_vision_weights(folder))))


def count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def test_only_m2ist_reads_inside_the_layers_and_of_transformers_alone() -> None:
    for name in METHODS:
        assert reads_sublayers(name, vision_is_compact=False) == (name == "m2ist")
        assert not reads_sublayers(name, vision_is_compact=True)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_puts_its_own_adapters_into_the_encoders(name: str, tmp_path: Path) -> None:
    vision, text = compact(tmp_path), bert()
    prior = SelfPrior(16) if name == "mapper" else None
    adapted = adapt(name, vision, text, 8, prior)
    assert isinstance(adapted, GuidedText) == (name == "mapper")
    assert count(vision, LoCA) == (3 if name == "mapper" else 0)
    assert count(vision, BottleneckAdapter) == (3 if name == "adapter" else 0)
    assert count(text, BottleneckAdapter) == (6 if name == "adapter" else 0)
    lora = [n for n, _ in vision.named_parameters() if ".lora_A." in n]
    assert bool(lora) == (name == "lora")
    assert bool([n for n, _ in text.named_parameters() if ".lora_A." in n]) == (name == "lora")
    if name == "adapter":
        assert {a.down.out_features for a in [*vision.adapters, *text.adapters]} == {8}


def test_a_joint_network_is_left_as_it_is() -> None:
    vision, text = DetrBackbone(tiny_net("detr")), bert()
    assert adapt("lora", vision, text, 8, None) is text
    assert not [n for n, _ in text.named_parameters() if "lora" in n]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m2ist", M2IST), ("unipt", UniPT), ("mapper", MaPPER)]
    + [(name, HeadOnly) for name in ("lora", "adapter", "head_only", "full")],
)
def test_each_name_joins_two_encoders_in_its_way(
    name: str, kind: type[nn.Module], tmp_path: Path
) -> None:
    vision, text = compact(tmp_path), bert()
    adapted = adapt(name, vision, text, 8, SelfPrior(16) if name == "mapper" else None)
    method = build_method(name, vision, adapted, 24, 8, "released")
    assert type(method) is kind
    if isinstance(method, HeadOnly):  # what the encoder gives, not all that it computes
        assert method.vision.in_features == sum(vision.tap_channels[-vision.outputs :])
        assert method.vision.out_features == method.text.out_features == 24
    if isinstance(method, M2IST):
        assert not method.vision.chained and not method.text.chained
        paper = build_method(name, vision, adapted, 24, 8, "paper")
        assert paper.vision.chained and paper.text.chained


def test_m2ist_on_transformers_is_the_published_form() -> None:
    vision, text = frozen(DetrEncoder(tiny_net("detr"), sublayers=True)), bert(sublayers=True)
    for variant in ("released", "paper"):
        method = build_method("m2ist", vision, text, 24, 8, variant)
        assert isinstance(method, LayerM2IST) and method.chained == (variant == "paper")


def test_the_class_token_is_no_reason_for_another_output() -> None:
    vision = frozen(ViT(tiny_net("dinov2"), keep_cls=True))
    for name in ("head_only", "mapper"):
        text = adapt(name, vision, bert(), 8, SelfPrior(16))
        assert build_method(name, vision, text, 24, 8, "released").vision.in_features == 16


def test_the_joint_form_projects_words_to_the_width_of_the_pixels() -> None:
    method = build_method("unipt_joint", DetrBackbone(tiny_net("detr")), bert(), 24, 8, "released")
    assert isinstance(method, JointInputs)
    assert (method.text.in_features, method.text.out_features) == (16, 16)


def test_fusions_by_name(tmp_path: Path) -> None:
    config = TrainConfig(method="head_only", dim=24, layers=3, image_size=64)
    candidates, transvg = (
        assemble(replace(config, fusion=name), compact(tmp_path), bert(), None).fusion
        for name in FUSIONS
    )
    assert isinstance(candidates, CandidatesFusion) and candidates.detections is not None
    assert isinstance(transvg, TransVGFusion) and len(transvg.layers) == 3
    assert transvg.positions.shape == (1, 1 + MAX_TOKENS + 4 * 4, 24)
