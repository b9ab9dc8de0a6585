"""Attention to words in its cheap form, and fusions that are computed again."""

import pytest
import torch
from torch import Tensor, nn

from train.fusion import CandidatesFusion, TransVGFusion
from train.fusion.layers import WordAttention
from train.papers.cost import saved_bytes

DIM, GRID = 16, 4


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


@pytest.mark.parametrize(
    ("fusion", "share"),
    [
        (CandidatesFusion(DIM, GRID, detecting=False), 0.8),  # of few cells, most are compared
        (TransVGFusion(DIM, GRID**2, 6, layers=3), 0.25),
    ],
    ids=["candidates", "transvg"],
)
def test_recomputing_keeps_less_and_gives_the_same_gradients(
    fusion: nn.Module, share: float
) -> None:
    randomised(fusion).train()
    visual, text, mask = random_inputs()

    def loss() -> Tensor:
        torch.manual_seed(0)  # of the dropout
        answers = dict(vars(fusion(fusion.prepare(visual), text, mask)))
        if "matches" in answers:
            answers |= vars(answers.pop("matches"))
        parts = [part for part in answers.values() if part.requires_grad]
        return torch.stack([(part**2).sum() for part in parts]).sum()

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss(), list(fusion.parameters()), allow_unused=True)

    plain, kept = gradients(), saved_bytes(loss, fusion)
    fusion.activation_checkpointing = True
    torch.testing.assert_close(gradients(), plain)
    assert saved_bytes(loss, fusion) < share * kept
