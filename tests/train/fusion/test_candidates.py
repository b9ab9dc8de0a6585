"""The candidates fusion: what it answers with, and what it is told."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdk.bundle.contract import COLOURS, DETECTIONS
from tests.train.fusion.test_fusion import DIM, GRID, random_inputs, randomised
from tests.train.test_train import steps, trainer
from train.fusion.candidates import CandidatesFusion, Comparison, Matches, start_evidence
from train.fusion.match import pair_features
from train.losses.candidates import meant_terms

CELLS = GRID * GRID


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Prepared cells with detections behind them, words and mask."""
    cells, text, mask = random_inputs()
    fusion = build()
    with torch.no_grad():
        scene = fusion.prepare(cells)
    seen = torch.rand(*cells.shape[:2], DETECTIONS + COLOURS)
    words = (torch.rand(*text.shape[:2], COLOURS) < 0.1).float()
    return torch.cat([scene, seen], -1), torch.cat([text, words], -1), mask


def build() -> CandidatesFusion:
    torch.manual_seed(0)
    return randomised(CandidatesFusion(DIM, GRID, detecting=True))


def shipped(answer: Comparison) -> tuple[Tensor, Tensor, Tensor]:
    return answer.boxes, answer.logits, answer.members


@torch.no_grad()
def test_candidates_are_the_best_cells_and_padding_changes_nothing() -> None:
    fusion, (visual, text, mask) = build(), inputs()
    answer = fusion(visual, text, mask)
    boxes, logits, members = shipped(answer)
    assert boxes.shape == (len(text), sum(fusion.counts[:2]), 4)
    assert logits.shape == members.shape == boxes.shape[:2]
    noise = torch.randn(len(text), 3, text.shape[-1])
    longer = torch.cat([text, noise], 1)
    masked = torch.cat([mask, torch.zeros(len(text), 3, dtype=mask.dtype)], 1)
    padded = fusion(visual, longer, masked)
    for ours, theirs in zip(shipped(padded), shipped(answer), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_phrase_is_answered_the_same_alone_and_in_company() -> None:
    fusion, (visual, text, mask) = build(), inputs()
    together = fusion(visual, text, mask)
    for row in range(len(text)):
        one = slice(row, row + 1)
        alone = fusion(visual[one], text[one], mask[one])
        for ours, theirs in zip(shipped(alone), shipped(together), strict=True):
            torch.testing.assert_close(ours[0], theirs[row], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_detected_box_of_a_class_that_is_named_is_trusted_more() -> None:
    fusion, (visual, text, mask) = build(), inputs()
    cells = fusion.counts[0]

    def logits(weight: float, bias: float) -> Tensor:
        fusion.detected_weight.fill_(weight)
        assert fusion.detections is not None
        fusion.detections.name.weight.zero_()
        fusion.detections.name.bias.fill_(bias)
        return fusion(visual, text, mask).logits

    named = logits(3.0, 9.0) - logits(0.0, 9.0)
    torch.testing.assert_close(named[:, cells:], torch.full_like(named[:, cells:], 3.0))
    assert not named[:, :cells].any()
    unnamed = logits(3.0, -20.0) - logits(0.0, -20.0)
    torch.testing.assert_close(unnamed, torch.zeros_like(unnamed))


@torch.no_grad()
def test_at_the_start_a_rival_costs_a_candidate() -> None:
    evidence = start_evidence(DIM)

    def logit(hit: float, rival: float, known: float) -> float:
        return float(evidence(torch.tensor([0.0, 1.0, hit, rival, known]))[-1])

    assert logit(0.1, 0.9, 1.0) < -0.5  # "the dog", where a cat is seen
    assert logit(0.9, 0.1, 1.0) == logit(0.0, 0.9, 0.0) == logit(0.0, 0.0, 0.0) == 0


def test_pairs_say_how_boxes_lie_to_each_other() -> None:
    boxes = torch.tensor([[[0.2, 0.5, 0.2, 0.2], [0.6, 0.5, 0.4, 0.2]]])
    pairs = pair_features(boxes)[0]
    torch.testing.assert_close(pairs[0, 1, :4], torch.tensor([0.4, 0.0, 2.0, 0.0]))
    torch.testing.assert_close(pairs[0, 1, 4:6], torch.tensor([2.0, 1.0]).log())
    assert pairs[0, 0, 6] == pytest.approx(1) and pairs[0, 1, 6] == 0


def comparison(logits: list[float], members: list[float] | None = None) -> Comparison:
    """Three candidates: left, right, and right once more but badly."""
    boxes = torch.tensor([[[0.2, 0.5, 0.2, 0.4], [0.8, 0.5, 0.2, 0.4], [0.8, 0.8, 0.1, 0.1]]])
    one, member = (torch.tensor([row]) for row in (logits, members or logits))
    return Comparison(boxes, one, member, Matches(boxes, one, member, torch.zeros(1, 0)))


def terms(answer: Comparison, answers: Tensor, *, counted: bool = True) -> dict[str, float]:
    real = torch.ones(1, answers.shape[1], dtype=torch.bool)
    found = meant_terms(answer, answers, real, torch.tensor([counted]))
    return {name: float(value) for name, value in found.items()}


def test_the_one_that_is_meant_must_come_first() -> None:
    right = torch.tensor([[[0.8, 0.5, 0.2, 0.4]]])
    good, bad = (terms(comparison(x), right) for x in ([-3.0, 3.0, -3.0], [3.0, -3.0, -3.0]))
    assert all(good[name] < bad[name] for name in ("rank", "presence", "quality", "members"))


def test_where_no_box_is_right_none_must_come_first() -> None:
    nowhere = torch.tensor([[[0.5, 0.1, 0.1, 0.1]]])
    found = terms(comparison([3.0, -3.0, -3.0]), nowhere)
    assert found["rank"] == 0
    assert terms(comparison([-3.0, -3.0, -3.0]), nowhere)["presence"] < found["presence"]


def test_all_that_are_meant_are_members_and_uncounted_phrases_weigh_less() -> None:
    both = torch.tensor([[[0.2, 0.5, 0.2, 0.4], [0.8, 0.5, 0.2, 0.4]]])
    all_found = terms(comparison([3.0, 3.0, -3.0]), both)["members"]
    one_found = terms(comparison([3.0, 3.0, -3.0], [3.0, -3.0, -3.0]), both)["members"]
    assert all_found < one_found
    uncounted = terms(comparison([3.0, 3.0, -3.0], [3.0, -3.0, -3.0]), both, counted=False)
    assert uncounted["members"] < one_found


def test_of_nothing_every_candidate_is_wrong() -> None:
    none = torch.zeros(1, 1, dtype=torch.bool)
    answers = torch.zeros(1, 1, 4)
    found = meant_terms(comparison([2.0, 2.0, 2.0]), answers, none, torch.tensor([True]))
    sure = meant_terms(comparison([-2.0, -2.0, -2.0]), answers, none, torch.tensor([True]))
    assert sure["presence"] < found["presence"] and sure["quality"] < found["quality"]
    assert found["rank"] == 0


def test_it_trains_and_its_batches_hold_phrases_that_mean_several(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run", epochs=10, lr=3e-3)
    batch = run.batches.batch(run.batches.order(0, 4)[0], 0)
    assert batch.is_answer.sum(1).max() > 1
    run.model.train()
    before = {name: float(value.detach()) for name, value in run.loss(batch).items()}
    for _ in range(5):
        steps(run, run.per_epoch)
    after = {name: float(value.detach()) for name, value in run.loss(batch).items()}
    assert after["total"] < 0.9 * before["total"]
