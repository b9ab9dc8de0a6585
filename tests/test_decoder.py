"""The decoder fusion: its attention, scene and queries, and what one more phrase costs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.test_fusion import DIM, GRID, random_inputs, randomised
from train.fusion import DecoderFusion, DenseFusion
from train.fusion.decoder import MAPS, QUERIES
from train.fusion.dense import Attention


@pytest.mark.parametrize("shared", [True, False])
def test_attention_is_multi_head_attention_that_skips_padding(shared: bool) -> None:
    module = randomised(Attention(DIM, 4))
    queries, context, mask = random_inputs()
    context = context[:1] if shared else context
    reference = nn.MultiheadAttention(DIM, 4, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([module.query.weight, module.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([module.query.bias, module.key_value.bias]))
        reference.out_proj.load_state_dict(module.out.state_dict())
    whole = context.expand(3, -1, -1)
    expected, _ = reference(queries, whole, whole, key_padding_mask=~mask, need_weights=False)
    torch.testing.assert_close(module(queries, context, mask), expected)


def test_positions_and_neighbours_are_in_the_scene() -> None:
    """Moving what stands in one cell changes the scene beyond these two cells."""
    model = randomised(DecoderFusion(DIM, GRID, layers=1))
    visual, _, _ = random_inputs()
    scene = model.prepare(visual[:1])
    moved = visual[:1, [1, 0, *range(2, GRID**2)]]
    elsewhere = (model.prepare(moved) - scene)[0, 2:].abs().amax(1)
    assert (elsewhere > 1e-5).all()
    assert not torch.allclose(model.prepare(moved)[0, 0], scene[0, 1])


def test_every_query_draws_its_own_maps() -> None:
    model = randomised(DecoderFusion(DIM, GRID, layers=1))
    head, cells = model.head, torch.randn(1, GRID**2, DIM)
    queries = torch.randn(1, QUERIES, DIM)
    before, _ = head(cells, queries)
    drawn = []
    head.maps.register_forward_hook(lambda _, inputs, __: drawn.append(inputs[0]))
    queries[:, 3] += 1
    after, _ = head(cells, queries)
    head(cells, queries - F.one_hot(torch.tensor(3), QUERIES)[None, :, None])
    apart = (drawn[0] - drawn[1]).abs().amax((0, 1)).view(QUERIES, MAPS)
    assert (apart[3] > 1e-4).all() and not apart[[0, 1, 2, 4, 5, 6, 7]].any()
    assert not torch.allclose(before, after)


def test_one_more_phrase_costs_a_sixth_of_the_dense_fusions() -> None:
    """Counted at the default's size: products of 19 more phrases of ten words."""

    def flops(model: nn.Module, phrases: int) -> int:
        text, mask = torch.randn(phrases, 10, 128), torch.ones(phrases, 10, dtype=torch.bool)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.randn(1, 400, 128), text, mask)
        return counter.get_total_flops()

    more = [flops(m, 20) - flops(m, 1) for m in (DecoderFusion(128, 20), DenseFusion(128, 20))]
    assert more[0] < more[1] / 6
