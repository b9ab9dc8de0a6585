"""The dense head's loss: what is positive, what a perfect answer costs, what absence teaches."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdk.boxes import cxcywh_to_xyxy, iou_xyxy
from train.fusion import DenseFusion
from train.losses import grounding_loss, iou_and_giou, positive_cells, to_xyxy

CENTERS = DenseFusion(8, 4, layers=1, heads=1).centers


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
