"""LoRA and bottleneck adapters: identity at the start, what trains, LoRA folded in."""

import copy
from pathlib import Path

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from tests.tiny import IMAGE_SIZE, tiny_vision_weights
from tests.tiny_frozen import LAYERS, PIXELS, frozen_bert, frozen_dinov2, randomised, two_phrases
from train.build import load_compact
from train.encoders.transformer import ViT
from train.encoders.vision import CompactVision, frozen
from train.methods.bottleneck import BottleneckAdapter, adapt_output, add_adapters
from train.methods.lora import add_lora, fold_lora

KINDS = ("compact", "dinov2", "bert")


def encoder(kind: str, folder: Path) -> nn.Module:
    if kind == "compact":
        return frozen(load_compact(str(tiny_vision_weights(folder))))
    return frozen_bert() if kind == "bert" else frozen(ViT(frozen_dinov2()))


@torch.no_grad()
def answers(model: nn.Module) -> Tensor:
    """The last tap, in units of its largest value."""
    if hasattr(model, "features"):
        side = IMAGE_SIZE if isinstance(model, CompactVision) else PIXELS
        image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
        last = model.taps(model.features(image))[-1]
    else:
        last = model.taps(*two_phrases())[-1]
    return last / last.abs().max()


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def adapted(model: nn.Module) -> set[str]:
    """Names of the layers that LoRA adapts."""
    return {name for name, m in model.named_modules() if isinstance(m, BaseTunerLayer)}


@pytest.mark.parametrize("kind", KINDS)
def test_only_low_rank_weights_train_and_lora_starts_as_the_identity(
    kind: str, tmp_path: Path
) -> None:
    model = encoder(kind, tmp_path)
    model.requires_grad_(True)  # peft freezes
    before = answers(model)
    add_lora(model)
    names = trained(model)
    assert names and all(".lora_A." in name or ".lora_B." in name for name in names)
    assert len(names) == 2 * len(adapted(model))
    assert {p.shape[0] for name, p in names.items() if ".lora_A." in name} == {8}
    scales = {m.scaling["default"] for m in model.modules() if isinstance(m, BaseTunerLayer)}
    assert scales == {2.0}
    assert torch.equal(answers(model), before)


def test_lora_adapts_queries_and_values_of_every_layer() -> None:
    for model, path in (
        (frozen_bert(), "net.encoder.layer.{}.attention.self."),
        (frozen(ViT(frozen_dinov2())), "net.encoder.layer.{}.attention.attention."),
    ):
        add_lora(model)
        ends = [path.format(layer) for layer in range(LAYERS)]
        assert adapted(model) == {end + name for end in ends for name in ("query", "value")}


def test_lora_adapts_the_pointwise_convolutions_of_the_compact_encoder_and_no_gate(
    tmp_path: Path,
) -> None:
    model = encoder("compact", tmp_path)
    wanted = {
        name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and m.groups == 1
        if min(m.in_channels, m.out_channels) >= 16
    }
    add_lora(model)
    assert adapted(model) == wanted
    assert len(wanted) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_folding_keeps_every_output_and_leaves_no_trace_of_lora(kind: str, tmp_path: Path) -> None:
    model = encoder(kind, tmp_path)
    names, before = list(model.state_dict()), answers(model)
    add_lora(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in trained(model).items():
            if ".lora_B." in name:
                parameter.normal_(0, 0.02, generator=generator)
    tuned = answers(model)
    assert (tuned - before).abs().max() > 1e-3
    fold_lora(model)
    torch.testing.assert_close(answers(model), tuned, rtol=1e-5, atol=1e-5)
    assert not adapted(model)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("kind", KINDS)
def test_bottleneck_adapters_start_as_the_identity_and_alone_train(
    kind: str, tmp_path: Path
) -> None:
    model = encoder(kind, tmp_path)
    model.requires_grad_(True)
    before = answers(model)
    add_adapters(model, 4)
    assert torch.equal(answers(model), before)
    assert len(model.adapters) == (3 if kind == "compact" else 2 * LAYERS)
    names = trained(model)
    assert names.keys() == {f"adapters.{name}" for name, _ in model.adapters.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_bottleneck_adapter_changes_the_output(kind: str, tmp_path: Path) -> None:
    model = encoder(kind, tmp_path)
    before = answers(model)
    add_adapters(model, 8)
    for adapter in model.adapters:
        with torch.no_grad():
            adapter.up.weight.normal_(generator=torch.Generator().manual_seed(0))
        assert (answers(model) - before).abs().max() > 1e-3
        with torch.no_grad():
            adapter.up.weight.zero_()


def by_hand(adapter: BottleneckAdapter, token: Tensor) -> Tensor:
    """x + U ReLU(W x) of one token (C,)."""
    hidden = (adapter.down.weight @ token + adapter.down.bias).clamp(min=0)
    return token + adapter.up.weight @ hidden + adapter.up.bias


def test_the_hook_adapts_maps_tokens_and_what_attention_returns() -> None:
    adapter = randomised(BottleneckAdapter(6, 3))
    assert isinstance(adapter, BottleneckAdapter)
    tokens, weights = torch.randn(2, 12, 6), torch.randn(2, 12, 12)
    want = torch.stack([torch.stack([by_hand(adapter, t) for t in photo]) for photo in tokens])
    module = nn.Identity()
    torch.testing.assert_close(adapt_output(adapter, module, (), tokens), want)
    now, same = adapt_output(adapter, module, (), (tokens, weights))
    torch.testing.assert_close(now, want)
    assert same is weights
    image = tokens.transpose(1, 2).unflatten(2, (3, 4))
    told = adapt_output(adapter, module, (), image)
    assert told.shape == image.shape
    torch.testing.assert_close(told.flatten(2).transpose(1, 2), want)


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapters_sit_after_the_first_sublayer_or_stage(kind: str, tmp_path: Path) -> None:
    model = encoder(kind, tmp_path)
    plain = copy.deepcopy(model)
    add_adapters(model, 4)
    randomised(model.adapters)
    outputs: list[Tensor] = []
    for each in (plain, model):
        first = each.stages[0][0] if kind == "compact" else each.layers[0].attention

        def keep(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            outputs.append(output[0] if isinstance(output, tuple) else output)

        first.register_forward_hook(keep)
        answers(each)
    was, now = (o.flatten(2).transpose(1, 2) if o.dim() == 4 else o for o in outputs)
    largest = float(now.abs().max())
    torch.testing.assert_close(now / largest, model.adapters[0](was) / largest)
    assert (now - was).abs().max() > 1e-3 * largest
