"""MaPPER's text side: DyPA's formula, where it sits, identity at the start."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.tiny_frozen import LAYERS, frozen_bert, randomised, two_phrases
from train.methods.mapper import guide_text
from train.methods.mapper.model import DyPA, thirds
from train.methods.mapper.prior import SelfPrior


def test_dypa_is_the_published_formula_until_the_prior_enters_the_bottleneck() -> None:
    dypa = DyPA(24, 8)
    guide = {name: t.clone() for name, t in dypa.guide.state_dict().items()}
    randomised(dypa)
    tokens, prior = torch.randn(2, 5, 24), torch.randn(2, 5, 8)
    guided = dypa(tokens, prior)
    dypa.guide.load_state_dict(guide)  # as it starts
    for row, at in np.ndindex(2, 5):
        told = F.layer_norm(prior[row, at], (8,), dypa.norm_prior.weight, dypa.norm_prior.bias)
        scale = max(float(dypa.scale.weight[0] @ told + dypa.scale.bias), 0.0)
        x = F.layer_norm(tokens[row, at], (24,), dypa.norm.weight, dypa.norm.bias)
        hidden = (dypa.down.weight @ x + dypa.down.bias).clamp(min=0)
        want = scale * (dypa.up.weight @ hidden + dypa.up.bias)
        torch.testing.assert_close(dypa(tokens, prior)[row, at], want, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(guided, dypa(tokens, prior), atol=1e-3)


def test_guided_text_starts_as_it_was_and_every_adapter_changes_it() -> None:
    text, (ids, mask) = frozen_bert(), two_phrases()
    before = text.taps(ids, mask)[-1]
    guided = guide_text(text, SelfPrior(16))
    assert guided.tap_channels == [16, 16] and len(guided.dypa) == 3
    now, prior = guided.taps(ids, mask)
    assert torch.equal(now, before) and torch.equal(prior, before)
    for adapter in guided.dypa:
        with torch.no_grad():
            adapter.scale.bias.fill_(1)
            adapter.up.weight.normal_()
        changed, prior = guided.taps(ids, mask)
        assert (changed - before).abs().max() > 1e-3
        assert torch.equal(prior, before)  # the prior's own pass is told nothing
        with torch.no_grad():
            adapter.up.weight.zero_()


def test_dypa_adds_to_a_layers_output_what_it_makes_of_its_attention() -> None:
    text, (ids, mask) = frozen_bert(), two_phrases()
    guided = guide_text(text, SelfPrior(16))
    randomised(guided.dypa)
    hidden: list[Tensor] = []
    for layer in text.net.encoder.layer:
        layer.attention.register_forward_hook(lambda module, args, out: hidden.append(out[0]))
        layer.register_forward_hook(lambda module, args, out: hidden.append(out[0]))
    _, prior = guided.taps(ids, mask)
    hidden = hidden[2 * LAYERS :]  # after the prior's pass
    for index, layer in enumerate(text.net.encoder.layer):
        attended, out = hidden[2 * index : 2 * index + 2]
        feed_forward = layer.output.dense(layer.intermediate(attended))
        want = layer.output.LayerNorm(feed_forward + attended)
        if index in thirds(LAYERS):
            want = want + guided.dypa[thirds(LAYERS).index(index)](attended, prior)
        torch.testing.assert_close(out, want, rtol=1e-4, atol=1e-4)
