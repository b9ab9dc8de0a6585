"""The loss of boxes and logits: what is positive, what a perfect answer costs, absence."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdk.geometry.boxes import cxcywh_to_xyxy, iou_xyxy
from train.fusion.layers import cell_centers
from train.losses.boxes import (
    grounding_loss,
    instance_loss,
    iou_and_giou,
    positive_cells,
    to_xyxy,
)

CENTERS = cell_centers(4)


def test_positive_cells_lie_in_the_core_of_the_box() -> None:
    cells = positive_cells(torch.tensor([[0.5, 0.5, 1.0, 1.0]]), CENTERS)
    assert cells.view(4, 4).int().tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]


def test_the_smallest_box_has_a_positive_cell() -> None:
    cells = positive_cells(torch.tensor([[0.9, 0.1, 0.001, 0.001]]), CENTERS)
    assert cells.view(4, 4).nonzero().tolist() == [[0, 3]]


sides = st.floats(0.0625, 1, width=32)
box = st.tuples(sides, sides, sides, sides)


@given(st.lists(box, min_size=1, max_size=5), box)
def test_iou_agrees_with_the_runtime_and_giou_is_never_above_it(
    many: list[tuple[float, ...]], one: tuple[float, ...]
) -> None:
    a = to_xyxy(torch.tensor(many))
    b = to_xyxy(torch.tensor([one])).expand_as(a)
    iou, giou = iou_and_giou(a, b)
    runtime = iou_xyxy(cxcywh_to_xyxy(np.float32(many)), cxcywh_to_xyxy(np.float32([one])))
    np.testing.assert_allclose(iou.numpy(), runtime[:, 0], atol=1e-4)
    assert (giou <= iou + 1e-5).all() and (giou >= -1).all()


def perfect(target: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes and logits that answer exactly right and with confidence."""
    boxes = target[:, None].expand(-1, len(CENTERS), -1).clone()
    positive = positive_cells(target, CENTERS) & present[:, None]
    return boxes, torch.where(positive, 12.0, -12.0)


def test_a_perfect_answer_costs_next_to_nothing_and_others_more() -> None:
    target = torch.tensor([[0.4, 0.6, 0.3, 0.5], [0.0, 0.0, 0.0, 0.0]])
    present = torch.tensor([True, False])
    boxes, logits = perfect(target, present)
    best = grounding_loss(boxes, logits, target, present, CENTERS)["total"]
    assert best < 1e-3
    shifted = grounding_loss(boxes + 0.1, logits, target, present, CENTERS)["total"]
    unsure = grounding_loss(boxes, logits / 12, target, present, CENTERS)["total"]
    deceived = grounding_loss(boxes, -logits, target, present, CENTERS)["total"]
    assert best < shifted and best < unsure < deceived


def test_an_absent_thing_pushes_all_logits_down_and_teaches_no_box() -> None:
    boxes = torch.rand(1, 16, 4, requires_grad=True)
    logits = torch.zeros(1, 16, requires_grad=True)
    terms = grounding_loss(boxes, logits, torch.zeros(1, 4), torch.tensor([False]), CENTERS)
    terms["total"].backward()
    assert logits.grad is not None and (logits.grad > 0).all()
    assert boxes.grad is None or not boxes.grad.any()


def presence(
    best: list[float], right: list[bool], present: list[bool]
) -> tuple[float, list[list[int]]]:
    """The term, and which cell of each phrase it moves; the best cell is the sixth.

    All cells have an exact box, but for the best cell of a phrase that is not `right`.
    """
    target = torch.tensor([[0.4, 0.4, 0.4, 0.4]]).repeat(len(best), 1)
    boxes = target[:, None].repeat(1, len(CENTERS), 1)
    boxes[~torch.tensor(right), 5, 0] += 0.2  # half of the width: an IoU of a third
    logits = torch.full((len(best), len(CENTERS)), -9.0)
    logits[:, 5] = torch.tensor(best)
    boxes.requires_grad_()
    logits.requires_grad_()
    term = grounding_loss(boxes, logits, target, torch.tensor(present), CENTERS)["presence"]
    moved, untouched = torch.autograd.grad(term, (logits, boxes), allow_unused=True)
    assert untouched is None or not untouched.any()
    return term.item(), moved.nonzero().tolist()


@pytest.mark.parametrize(
    ("right", "present", "sign"), [(True, True, -1), (False, True, 1), (True, False, 1)]
)
def test_presence_wants_the_best_logit_high_only_for_a_right_box(
    right: bool, present: bool, sign: int
) -> None:
    for best in (-2.0, 0.5, 3.0):
        term, moved = presence([best], [right], [present])
        assert term == pytest.approx(np.log1p(np.exp(sign * best)), rel=1e-5)
        assert moved == [[0, 5]]


def test_presence_is_a_mean_whose_least_is_the_log_odds() -> None:
    right = [True, True, True, False]

    def term(logit: float) -> float:
        return presence([logit] * 4, right, [True] * 4)[0]

    least = np.log(3)  # three of four are right
    assert term(least) == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), rel=1e-5)
    assert term(least) < min(term(least - 0.2), term(least + 0.2))


def test_presence_calls_an_iou_of_one_half_right() -> None:
    target = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    logits = torch.full((1, len(CENTERS)), 2.0)
    for width, right in ((0.25, True), (0.24, False)):
        boxes = torch.tensor([0.5, 0.5, width, 0.5]).expand(1, len(CENTERS), 4)
        terms = grounding_loss(boxes, logits, target, torch.tensor([True]), CENTERS)
        expected = np.log1p(np.exp(-2.0 if right else 2.0))
        assert terms["presence"].item() == pytest.approx(expected, rel=1e-5)


def test_the_total_is_the_sum_of_the_terms() -> None:
    torch.manual_seed(0)
    boxes, logits = torch.rand(2, 16, 4), torch.randn(2, 16)
    target, present = torch.rand(2, 4), torch.tensor([True, False])
    terms = grounding_loss(boxes, logits, target, present, CENTERS)
    assert set(terms) == {"quality", "rank", "presence", "l1", "giou", "total"}
    total = terms.pop("total")
    torch.testing.assert_close(total, sum(terms.values()))
    assert all(value > 0 for value in terms.values())


TWO = torch.tensor([[[0.25, 0.5, 0.3, 0.6], [0.75, 0.5, 0.3, 0.6]]])
BOTH = torch.tensor([[True, True]])


def proposals(*instances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes and logits of cells that propose just these (4,) boxes, and are sure of it."""
    boxes, logits = torch.full((1, len(CENTERS), 4), 0.5), torch.full((1, len(CENTERS)), -12.0)
    for box in instances:
        positive = positive_cells(box[None], CENTERS)
        boxes[positive], logits[positive] = box, 12.0
    return boxes, logits


def test_proposals_must_find_every_instance_and_nothing_else() -> None:
    found = instance_loss(*proposals(*TWO[0]), TWO, BOTH, CENTERS)
    assert found < 1e-3
    assert instance_loss(*proposals(TWO[0, 0]), TWO, BOTH, CENTERS) > found + 0.5
    too_many = instance_loss(*proposals(*TWO[0]), TWO, torch.tensor([[True, False]]), CENTERS)
    assert too_many > found + 0.5
    nothing = torch.tensor([[False, False]])
    assert instance_loss(*proposals(), TWO, nothing, CENTERS) < 1e-3  # padding is no instance
    assert instance_loss(*proposals(*TWO[0]), TWO, nothing, CENTERS) > 0.5


def test_where_instances_overlap_the_smaller_one_is_meant() -> None:
    nested = torch.tensor([[[0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.3, 0.3]]])
    right = instance_loss(*proposals(*nested[0]), nested, BOTH, CENTERS)  # the later one is written
    swapped = instance_loss(*proposals(*nested[0]), nested.flip(1), BOTH, CENTERS)
    wrong = instance_loss(*proposals(*nested[0].flip(0)), nested, BOTH, CENTERS)
    assert right < 1e-3
    torch.testing.assert_close(swapped, right)  # in whichever order they come
    assert wrong > right + 0.5


def test_a_single_instance_is_a_target() -> None:
    torch.manual_seed(0)
    boxes, logits = 0.2 + 0.3 * torch.rand(2, len(CENTERS), 4), torch.randn(2, len(CENTERS))
    target = torch.tensor([[0.4, 0.6, 0.3, 0.5], [0.3, 0.3, 0.2, 0.2]])
    present = torch.tensor([True, True])
    terms = grounding_loss(boxes, logits, target, present, CENTERS)
    alone = instance_loss(boxes, logits, target[:, None], present[:, None], CENTERS)
    torch.testing.assert_close(alone, terms["quality"] + terms["l1"] + terms["giou"])
