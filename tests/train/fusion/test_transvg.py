"""TransVG's fusion: published size, padding, broadcasting, positions, one query at the end."""

import copy

import pytest
import torch
from torch import Tensor, nn

from train.fusion.transvg import DROPOUT, FEED_FORWARD, HEADS, PostNormLayer, TransVGFusion
from train.methods.head_only import HeadOnly

DIM, VISUAL, WORDS = 16, 9, 6


@pytest.fixture(scope="module")
def fusion() -> TransVGFusion:
    """No bias or norm is left at its start; exact enough to tell small effects from rounding."""
    torch.manual_seed(0)
    model = TransVGFusion(DIM, VISUAL, WORDS, layers=3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        model.box[-1].weight *= 8
    return model.eval().requires_grad_(False)


def random_inputs(length: int = WORDS - 2) -> tuple[Tensor, Tensor, Tensor]:
    """Three phrases of `length`, 2 and 1 words on three images."""
    torch.manual_seed(1)
    mask = torch.arange(length) < torch.tensor([[length], [2], [1]])
    visual, text = torch.randn(3, VISUAL, DIM), torch.randn(3, length, DIM)
    return visual.double(), text.double(), mask


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    fusion = TransVGFusion(256, visual_tokens=400, text_tokens=20, layers=6)
    projections = HeadOnly([256], [768], 256)
    added = {id(p) for p in fusion.score.parameters()}
    counted = [p for part in (fusion, projections) for p in part.parameters()]
    assert sum(p.numel() for p in counted if id(p) not in added) == 8_393_732


def test_without_positions_a_layer_is_the_post_norm_layer_of_pytorch() -> None:
    torch.manual_seed(2)
    ours = PostNormLayer(DIM).eval()
    theirs = nn.TransformerEncoderLayer(
        DIM, HEADS, FEED_FORWARD, DROPOUT, batch_first=True, norm_first=False
    ).eval()
    pairs = {
        theirs.self_attn: ours.attention,
        theirs.linear1: ours.ffn[0],
        theirs.linear2: ours.ffn[3],
        theirs.norm1: ours.norm_attention,
        theirs.norm2: ours.norm_ffn,
    }
    with torch.no_grad():
        for to, source in pairs.items():
            for parameter in source.parameters():
                parameter.normal_(0, 0.3)
            to.load_state_dict(source.state_dict())
    tokens, hidden = torch.randn(2, 5, DIM), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    expected = theirs(tokens, src_key_padding_mask=hidden)
    got = ours(tokens, torch.zeros(1, 5, DIM), hidden, asked=5)
    torch.testing.assert_close(got[~hidden], expected[~hidden])


def test_positions_are_added_to_queries_and_keys_but_not_to_values() -> None:
    torch.manual_seed(2)
    layer = PostNormLayer(DIM).eval()
    tokens, positions = torch.randn(2, 5, DIM), torch.randn(1, 5, DIM)
    placed = tokens + positions
    middle = layer.norm_attention(tokens + layer.attention(placed, placed, tokens)[0])
    expected = layer.norm_ffn(middle + layer.ffn(middle))
    nothing_hidden = torch.zeros(2, 5, dtype=torch.bool)
    torch.testing.assert_close(layer(tokens, positions, nothing_hidden, asked=5), expected)


def test_one_box_inside_the_image_and_one_logit_a_phrase(fusion: TransVGFusion) -> None:
    visual, text, mask = random_inputs()
    answers = fusion(visual, text, mask)
    boxes = answers.boxes
    assert boxes.shape == (3, 1, 4) and answers.logits.shape == (3, 1)
    assert boxes.std(0).min() > 1e-3  # three answers, not one
    sure = copy.deepcopy(fusion)
    sure.box[-1].weight *= 100
    extreme = sure(visual, text, mask).boxes
    assert extreme.min() < 0.01 and extreme.max() > 0.99
    for either in (boxes, extreme):
        assert ((either >= 0) & (either <= 1)).all()
    assert fusion.centers.tolist() == [[0.5, 0.5]]


def test_padding_of_the_text_changes_nothing_and_a_word_does(fusion: TransVGFusion) -> None:
    visual, text, mask = random_inputs()
    answers = fusion(visual, text, mask)
    other = torch.where(mask[..., None], text, 50.0)
    longer = torch.cat(
        [other, torch.full((3, 2, DIM), -9.0, dtype=other.dtype)], 1
    )  # as long as it may be
    longer_mask = torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], 1)
    for same in (fusion(visual, other, mask), fusion(visual, longer, longer_mask)):
        torch.testing.assert_close(vars(same), vars(answers))
    text[:, 0] += 1  # every phrase has a first word
    changed = fusion(visual, text, mask)
    assert ((changed.boxes - answers.boxes).abs().amax((1, 2)) > 1e-3).all()
    assert ((changed.logits - answers.logits).abs().amax(1) > 1e-3).all()


def test_one_image_for_all_phrases_is_the_same_as_repeated_rows(fusion: TransVGFusion) -> None:
    visual, text, mask = random_inputs()
    one, repeated = visual[:1], visual[:1].repeat(3, 1, 1)
    together = vars(fusion(one, text, mask))
    torch.testing.assert_close(together, vars(fusion(repeated, text, mask)))
    for row in range(3):
        alone = fusion(one, text[row : row + 1], mask[row : row + 1])
        torch.testing.assert_close(
            vars(alone), {name: out[row : row + 1] for name, out in together.items()}
        )


def test_asking_only_reg_in_the_last_layer_equals_computing_all_tokens(
    fusion: TransVGFusion,
) -> None:
    visual, text, mask = random_inputs()
    length = text.shape[1]
    tokens = torch.cat([fusion.reg.expand(3, -1, -1), text, visual], 1)
    numbers = [*range(1 + length), *range(1 + WORDS, 1 + WORDS + VISUAL)]
    positions = fusion.positions[:, numbers]
    hidden = torch.zeros(tokens.shape[:2], dtype=torch.bool)
    hidden[:, 1 : 1 + length] = ~mask
    for layer in fusion.layers:
        tokens = layer(tokens, positions, hidden, asked=tokens.shape[1])
    reg = tokens[:, :1]
    expected = {"boxes": torch.sigmoid(fusion.box(reg)), "logits": fusion.score(reg)[..., 0]}
    torch.testing.assert_close(vars(fusion(visual, text, mask)), expected)


def test_places_of_tokens_matter_and_only_through_the_positions(fusion: TransVGFusion) -> None:
    visual, text, mask = random_inputs()
    order = [3, 1, 2, 0, *range(4, VISUAL)]
    boxes = fusion(visual, text, mask).boxes
    swapped = fusion(visual[:, order], text, mask).boxes
    assert ((swapped - boxes).abs().amax((1, 2)) > 1e-3).all()
    moved = copy.deepcopy(fusion)
    moved.positions[:, 1 + WORDS :] = fusion.positions[:, 1 + WORDS :][:, order]
    torch.testing.assert_close(moved(visual[:, order], text, mask).boxes, boxes)


def test_every_parameter_learns() -> None:
    torch.manual_seed(3)
    model = TransVGFusion(DIM, VISUAL, WORDS, layers=2).double()
    answers = model(*random_inputs(WORDS))
    (answers.boxes.sum() + answers.logits.sum()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
