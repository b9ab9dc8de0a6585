"""What a detector that trains along must not forget."""

import torch

from train.fusion.detections import LevelOutputs
from train.losses.forgetting import forgetting_loss

SEEN, UNSEEN = 4.0, -8.0


def level(logit: float, sides: float) -> list[LevelOutputs]:
    """One place that says the same of two classes."""
    return [LevelOutputs(torch.full((1, 2, 1, 1), logit), torch.full((1, 4, 1, 1), sides))]


def test_the_old_answers_cost_nothing() -> None:
    assert forgetting_loss(level(SEEN, 2.0), level(SEEN, 2.0)) == 0


def test_a_class_forgotten_or_made_up_costs_more_the_further_off() -> None:
    before = level(SEEN, 2.0)
    costs = [float(forgetting_loss(level(logit, 2.0), before)) for logit in (SEEN, 1.0, -2.0)]
    assert costs == sorted(costs) and costs[1] > 0.01
    assert forgetting_loss(level(SEEN, 2.0), level(UNSEEN, 2.0)) > 1


def test_a_box_counts_where_something_was_seen() -> None:
    assert forgetting_loss(level(SEEN, 3.0), level(SEEN, 2.0)) > 0.1
    assert forgetting_loss(level(UNSEEN, 3.0), level(UNSEEN, 2.0)) == 0
