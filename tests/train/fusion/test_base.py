"""What fusions share: answers in float32, and how a fusion is unless it says otherwise."""

import torch

from train.fusion.base import Answers, Fusion
from train.fusion.candidates import Comparison, Matches


def test_answers_are_made_float32_to_the_last_one() -> None:
    half = [torch.zeros(1, 2, dtype=torch.bfloat16) for _ in range(7)]
    answer = Comparison(*half[:3], Matches(*half[3:])).float()
    parts = [answer.boxes, answer.logits, answer.members, *vars(answer.matches).values()]
    assert len(parts) == 7 and all(part.dtype == torch.float32 for part in parts)
    assert Answers(*half[:2]).float().logits.dtype == torch.float32


def test_a_fusion_takes_tokens_whole_and_computes_them_once() -> None:
    assert not Fusion.activation_checkpointing
    tokens = torch.ones(1, 2, 3)
    assert Fusion().prepare(tokens) is tokens
