"""Transformer encoders: loaded strictly, with taps that are what the model itself computes."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, PreTrainedModel, ViTConfig

from tests.tiny_encoders import IMAGES, LAYERS, SIZES, WIDTH, random_image, tiny_net
from train.build import preprocess_for
from train.config import TrainConfig
from train.encoders.text import TransformersText
from train.encoders.transformer import load_transformer

KINDS = ("dinov2", "clip", "siglip", "detr")


@torch.no_grad()
def own_outputs(kind: str, net: PreTrainedModel, image: Tensor) -> list[Tensor]:
    """Input and outputs of the layers as the model itself returns them, then its last output."""
    if kind == "detr":
        out = net(image, output_hidden_states=True)
        return [*out.encoder_hidden_states, out.encoder_last_hidden_state]
    options = {} if kind == "dinov2" else {"interpolate_pos_encoding": True}
    out = net(image, output_hidden_states=True, **options)
    return [*out.hidden_states, out.last_hidden_state]


def parts(kind: str, net: PreTrainedModel) -> tuple[nn.ModuleList, nn.Module]:
    """The model's layers and what follows the last of them."""
    if kind == "clip":
        return net.vision_model.encoder.layers, nn.Identity()
    if kind == "siglip":
        return net.vision_model.encoder.layers, net.vision_model.post_layernorm
    if kind == "detr":
        return net.encoder.layers, nn.Identity()
    return net.encoder.layer, net.layernorm


def layer_output(kind: str, layer: nn.Module, x: Tensor, attention: Tensor, ffn: Tensor) -> Tensor:
    """A layer put together from what its sublayers gave."""
    if kind == "detr":
        return layer.final_layer_norm(layer.self_attn_layer_norm(x + attention) + ffn)
    if kind == "dinov2":
        return x + layer.layer_scale1(attention) + layer.layer_scale2(ffn)
    return x + attention + ffn


@pytest.mark.parametrize("cells", [4, 6])  # 4: as configured, where there is a configured size
@pytest.mark.parametrize("kind", KINDS)
def test_taps_are_the_outputs_of_the_layers(kind: str, cells: int, tmp_path: Path) -> None:
    net, image = tiny_net(kind), random_image(kind, cells)
    net.save_pretrained(tmp_path)
    encoder = load_transformer(tmp_path, keep_cls=True)
    with torch.no_grad():
        taps = encoder.taps(encoder.features(image))
    tokens = cells**2 + encoder.cls_tokens
    assert encoder.cls_tokens == (kind in ("dinov2", "clip"))
    assert image.shape[-1] == cells * encoder.multiple
    assert encoder.tap_channels == [WIDTH] * LAYERS
    assert [tuple(tap.shape) for tap in taps] == [(2, tokens, WIDTH)] * LAYERS
    _, *outputs, last = own_outputs(kind, net, image)
    torch.testing.assert_close(taps, [*outputs[:-1], last])


def test_stages_of_detrs_resnet_learn_but_for_the_first(tmp_path: Path) -> None:
    tiny_net("detr").save_pretrained(tmp_path)
    backbone = load_transformer(tmp_path).net.backbone
    learning = {name for name, value in backbone.named_parameters() if value.requires_grad}
    convolutions = {name for name, _ in backbone.named_parameters() if "encoder.stages" in name}
    assert learning == {name for name in convolutions if "stages.0." not in name}
    assert len(learning) == 9  # two 3x3 convolutions and a shortcut in each of three stages


@pytest.mark.parametrize("kind", KINDS)
def test_sublayer_taps_add_up_to_every_layer(kind: str, tmp_path: Path) -> None:
    net, image = tiny_net(kind), random_image(kind, 4)
    net.save_pretrained(tmp_path)
    encoder = load_transformer(tmp_path, sublayers=True, keep_cls=True)
    layers, norm = parts(kind, net)
    with torch.no_grad():
        taps = encoder.taps(encoder.features(image))
        assert len(taps) == len(encoder.tap_channels) == 2 * LAYERS + 2
        first, *inner, last = taps
        outputs = [first]
        for layer, attention, ffn in zip(layers, inner[::2], inner[1::2], strict=True):
            outputs.append(layer_output(kind, layer, outputs[-1], attention, ffn))
        *hidden, own_last = own_outputs(kind, net, image)
        torch.testing.assert_close(outputs[:-1], hidden[:LAYERS])
        torch.testing.assert_close(norm(outputs[-1]), last)
        torch.testing.assert_close(last, own_last)


def test_text_taps_and_sublayer_taps_are_what_bert_computes(tmp_path: Path) -> None:
    net = tiny_net("bert")
    net.save_pretrained(tmp_path)
    ids, mask = torch.randint(5, 30, (2, 5)), torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
    plain = TransformersText.load(tmp_path)
    inside = TransformersText.load(tmp_path, sublayers=True)
    with torch.no_grad():
        embedded, *outputs = net(ids, mask, output_hidden_states=True).hidden_states
        taps = plain.taps(ids, mask)
        torch.testing.assert_close(taps, outputs)
        first, *inner, last = inside.taps(ids, mask)
        added = zip(inner[::2], inner[1::2], inside.norms, strict=True)
        rebuilt = [norm(ffn + attention) for attention, ffn, (_, norm) in added]
    torch.testing.assert_close(rebuilt, outputs)
    torch.testing.assert_close([first, last], [embedded, outputs[-1]])
    assert (len(plain.tap_channels), len(inside.tap_channels)) == (LAYERS, 2 * LAYERS + 2)


@pytest.mark.parametrize("kind", ["dinov2", "clip"])
@pytest.mark.parametrize("sublayers", [False, True])
def test_without_the_class_token_the_patches_are_the_same(
    kind: str, sublayers: bool, tmp_path: Path
) -> None:
    tiny_net(kind).save_pretrained(tmp_path)
    image = random_image(kind, 4)
    kept, dropped = (
        load_transformer(tmp_path, sublayers=sublayers, keep_cls=keep) for keep in (True, False)
    )
    assert (kept.cls_tokens, dropped.cls_tokens) == (1, 0)
    with torch.no_grad():
        expected = [tap[:, 1:] for tap in kept.features(image)]
        torch.testing.assert_close(dropped.features(image), expected, rtol=0, atol=0)


def test_a_whole_clip_checkpoint_gives_its_vision_half(tmp_path: Path) -> None:
    config = CLIPConfig(
        text_config={**SIZES, "intermediate_size": 32, "vocab_size": 30},
        vision_config={**SIZES, **IMAGES, "intermediate_size": 32},
    )
    net, image = CLIPModel(config).eval(), random_image("clip", 4)
    net.save_pretrained(tmp_path)
    encoder = load_transformer(tmp_path, keep_cls=True)
    with torch.no_grad():
        own = net.vision_model(image).last_hidden_state
        torch.testing.assert_close(encoder.features(image)[-1], own)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_that_would_train_is_on_the_way_to_the_taps(kind: str, tmp_path: Path) -> None:
    tiny_net(kind).save_pretrained(tmp_path)
    encoder = load_transformer(tmp_path)
    encoder.features(random_image(kind, 4))[-1].square().sum().backward()
    trained = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained and [name for name, p in trained.items() if p.grad is None] == []


MISSING = {
    "dinov2": "encoder.layer.1.mlp.fc1.bias",
    "clip": "vision_model.encoder.layers.1.mlp.fc1.bias",
    "siglip": "vision_model.encoder.layers.1.mlp.fc1.bias",
    "detr": "encoder.layers.1.fc1.bias",
    "bert": "encoder.layer.1.attention.self.query.weight",
}
UNUSED = {"siglip": "vision_model.head.", "detr": "decoder.", "bert": "pooler."}


def without(folder: Path, prefix: str) -> None:
    """Take the weights whose names start with `prefix` out of the saved file."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(prefix)}
    assert len(kept) < len(weights)
    save_file(kept, path, metadata={"format": "pt"})


@pytest.mark.parametrize("kind", MISSING)
def test_a_file_with_a_weight_missing_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    load = TransformersText.load if kind == "bert" else load_transformer
    tiny_net(kind).save_pretrained(tmp_path)
    if kind in UNUSED:
        without(tmp_path, UNUSED[kind])
        load(tmp_path)  # what no tap needs may be missing
    without(tmp_path, MISSING[kind])
    with pytest.raises(ValueError, match=rf"1 weights .*{re.escape(MISSING[kind])}"):
        load(tmp_path)


def test_a_model_of_an_unknown_type_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    ViTConfig().save_pretrained(tmp_path)
    config = TrainConfig(vision=str(tmp_path))
    for refused in (lambda: load_transformer(tmp_path), lambda: preprocess_for(config)):
        with pytest.raises(ValueError, match=r"got vit ") as error:
            refused()
        assert all(kind in str(error.value) for kind in KINDS)


IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
OPENAI = ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305))
HALF = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


@pytest.mark.parametrize(
    ("kind", "statistics"), [*zip(KINDS, (IMAGENET, OPENAI, HALF, IMAGENET), strict=True)]
)
def test_pixels_are_normalised_as_each_model_was_trained(
    kind: str, statistics: tuple[tuple[float, ...], ...], tmp_path: Path
) -> None:
    tiny_net(kind).config.save_pretrained(tmp_path)
    preprocess = preprocess_for(TrainConfig(vision=str(tmp_path), image_size=224))
    assert (preprocess.width, preprocess.height) == (224, 224)
    assert preprocess.mean == pytest.approx(statistics[0])
    assert preprocess.std == pytest.approx(statistics[1])
