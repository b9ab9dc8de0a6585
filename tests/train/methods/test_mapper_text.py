"""MaPPER's text side: DyPA's formula, where it sits, identity at the start."""

import torch

from tests.tiny_frozen import frozen_bert, two_phrases
from train.methods.mapper import guide_text
from train.methods.mapper.prior import SelfPrior


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
