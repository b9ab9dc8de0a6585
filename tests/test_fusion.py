"""The fusions: attention to words in its cheap form, padding, presence, boxes of the start."""

import pytest
import torch
from torch import Tensor, nn

from train.cost import saved_bytes
from train.fusion import DecoderFusion, DenseFusion, TransVGFusion
from train.fusion.dense import WordAttention

DIM, GRID = 16, 4

of_cells = pytest.mark.parametrize("kind", [DecoderFusion, DenseFusion])
"""The fusions that score every cell."""


def random_inputs(phrases: int = 3, words: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Cells, words and a mask: the first phrase fills it, the second has 2 words, the rest 4."""
    torch.manual_seed(1)
    mask = torch.ones(phrases, words, dtype=torch.bool)
    for row, length in enumerate([words, 2, *[4] * (phrases - 2)][:phrases]):
        mask[row, length:] = False
    return torch.randn(phrases, GRID**2, DIM), torch.randn(phrases, words, DIM), mask


def randomised(module: nn.Module) -> nn.Module:
    """No layer, bias or norm is left at a start where a mistake would not show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return module.eval()


def plain_attention(module: WordAttention, cells: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    """PyTorch's own multi-head attention with the same weights."""
    reference = nn.MultiheadAttention(DIM, module.heads, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([module.query.weight, module.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([module.query.bias, module.key_value.bias]))
        reference.out_proj.load_state_dict(module.out.state_dict())
    return reference(cells, text, text, key_padding_mask=~mask, need_weights=False)[0]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_word_attention_is_multi_head_attention_with_a_gate(heads: int) -> None:
    module = randomised(WordAttention(DIM, heads))
    assert isinstance(module, WordAttention)
    cells, text, mask = random_inputs()
    words = plain_attention(module, cells, text, mask)
    torch.testing.assert_close(module(cells, text, mask), words + cells * module.gate(words))


def test_the_gradients_are_those_of_the_plain_form() -> None:
    module = randomised(WordAttention(DIM, 2))
    assert isinstance(module, WordAttention)
    cells, text, mask = random_inputs()
    text.requires_grad_()
    toward = torch.randn(cells.shape)
    (ours,) = torch.autograd.grad((module(cells, text, mask) * toward).sum(), text)
    words = plain_attention(module, cells, text, mask)
    plain = words + cells * module.gate(words)
    (theirs,) = torch.autograd.grad((plain * toward).sum(), text)
    torch.testing.assert_close(ours, theirs)


@of_cells
def test_padding_changes_nothing_and_a_word_does(kind: type[nn.Module]) -> None:
    model = randomised(kind(DIM, GRID, layers=2))
    cells, text, mask = random_inputs()
    boxes, logits = model(cells, text, mask)
    other = torch.where(mask[..., None], text, 50.0)
    longer = torch.cat([other, torch.full((3, 4, DIM), -9.0)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    for same in (model(cells, other, mask), model(cells, longer, longer_mask)):
        torch.testing.assert_close(same, (boxes, logits))
    text[:, 1] += torch.randn(DIM)  # every phrase has a second word
    changed_boxes, changed_logits = model(cells, text, mask)
    assert ((changed_boxes - boxes).abs().amax((1, 2)) > 1e-4).all()
    assert ((changed_logits - logits).abs().amax(1) > 1e-4).all()


@of_cells
def test_a_phrase_is_answered_alike_in_any_company(kind: type[nn.Module]) -> None:
    model = randomised(kind(DIM, GRID, layers=2))
    cells, text, mask = random_inputs()
    boxes, logits = model(cells[:1], text, mask)  # one photo, three phrases
    for row in range(3):
        one = model(cells[:1], text[row : row + 1], mask[row : row + 1])
        torch.testing.assert_close(one, (boxes[row : row + 1], logits[row : row + 1]))


@of_cells
def test_the_fresh_model_says_probably_not_here_with_boxes_of_a_third(
    kind: type[nn.Module],
) -> None:
    boxes, logits = kind(DIM, GRID)(*random_inputs())
    assert torch.equal(logits, torch.full((3, GRID**2), -4.0))
    width = 2 * torch.sigmoid(torch.tensor(-1.6)).item()
    assert 0.3 < width < 0.36
    ticks = [(i + 0.5) / GRID for i in range(GRID)]
    expected = torch.tensor([[x, y, width, width] for y in ticks for x in ticks])
    torch.testing.assert_close(boxes, expected.expand(3, -1, -1))


def test_presence_starts_as_nothing_and_can_learn() -> None:
    torch.manual_seed(2)
    model = DenseFusion(DIM, GRID, layers=1)
    nn.init.normal_(model.head[-1].weight)
    inputs = random_inputs()
    boxes, logits = model(*inputs)
    nn.init.normal_(model.presence[0].weight)  # before a last layer of zeros: no difference
    torch.testing.assert_close(model(*inputs), (boxes, logits), rtol=0, atol=0)
    model(*inputs)[1].sum().backward()
    assert model.presence[-1].weight.grad is not None and model.presence[-1].weight.grad.any()


def test_presence_adds_one_number_to_all_cells_of_a_phrase() -> None:
    torch.manual_seed(2)
    model = DenseFusion(DIM, GRID, layers=1)
    nn.init.normal_(model.head[-1].weight)
    inputs = random_inputs()
    boxes, logits = model(*inputs)
    nn.init.normal_(model.presence[-1].weight)
    after_boxes, after_logits = model(*inputs)
    assert torch.equal(after_boxes, boxes)
    added = after_logits - logits
    torch.testing.assert_close(added, added[:, :1].expand_as(added), rtol=0, atol=1e-5)
    assert len(set(added[:, 0].tolist())) == 3 and (added[:, 0].abs() > 1e-3).all()


def test_presence_looks_where_the_cells_look() -> None:
    torch.manual_seed(3)
    model = DenseFusion(DIM, GRID, layers=0).double()  # cells reach the head as they are
    nn.init.normal_(model.head[-1].weight)
    nn.init.normal_(model.presence[-1].weight)
    with torch.no_grad():
        model.head[-1].weight[0] *= 1e4  # so sure of one cell that the others weigh nothing
        cells, text, mask = random_inputs()
        cells = cells.double()
        _, logits = model(cells, text, mask)
        best = model.norm(cells)[torch.arange(3), logits.argmax(1)]
        added = logits - model.head(model.norm(cells))[..., 0]
        torch.testing.assert_close(added, model.presence(best).expand(3, GRID**2))


@pytest.mark.parametrize(
    "fusion",
    [
        DecoderFusion(DIM, GRID, layers=3),
        DenseFusion(DIM, GRID, layers=3),
        TransVGFusion(DIM, GRID**2, 6, layers=3),
    ],
    ids=lambda fusion: type(fusion).__name__,
)
def test_recomputing_keeps_less_and_gives_the_same_gradients(fusion: nn.Module) -> None:
    randomised(fusion).train()
    visual, text, mask = random_inputs()

    def loss() -> Tensor:
        torch.manual_seed(0)  # of the dropout
        boxes, logits = fusion(fusion.prepare(visual), text, mask)
        return (boxes**2).sum() + (logits**2).sum()

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss(), list(fusion.parameters()))

    plain, kept = gradients(), saved_bytes(loss, fusion)
    fusion.activation_checkpointing = True
    torch.testing.assert_close(gradients(), plain)
    assert saved_bytes(loss, fusion) < kept / 4
