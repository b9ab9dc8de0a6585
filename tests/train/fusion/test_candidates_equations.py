"""The candidates fusion is compared with `candidates_in_numpy` at random weights.

So a faster form of the module is the same function or fails here.
"""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train.equations import (
    Array,
    Weights,
    array,
    lively,
    normal,
    same,
    sigmoid,
)
from tests.train.fusion.candidates_in_numpy import (
    BEST,
    CELLS,
    CLASSES,
    COLOURS,
    CONTEXTS,
    DETECTED,
    DIM,
    GRID,
    PLACES,
    TINY,
    Detected,
    answered,
    iou,
    pair,
    peaks,
    prepared,
    top,
)
from train.fusion.candidates import CandidatesFusion, Comparison, Matches
from train.fusion.layers import pairwise_iou
from train.fusion.match import pair_features


def seen_things(seed: int = 3) -> tuple[Tensor, Tensor]:
    """Detections (1, N, ...), many of one place, and shares of colours (1, N, COLOURS)."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.rand(1, CELLS, PLACES, CLASSES + 4, generator=generator, dtype=torch.float64)
    seen[..., :CLASSES] **= 4
    # A few boxes, each seen from many places: most of them cover each other.
    objects = torch.rand(12, 4, generator=generator, dtype=torch.float64) * 0.5 + 0.1
    which = torch.randint(12, (1, CELLS, PLACES), generator=generator)
    seen[..., CLASSES:] = objects[which] + 0.01 * seen[..., CLASSES:]
    seen[..., CLASSES + 2 :][which < TINY] = 5e-4
    painted = torch.rand(1, CELLS, COLOURS, generator=generator, dtype=torch.float64)
    # More further down: some candidates have enough of a colour that is asked for, some not.
    painted *= torch.linspace(0, 0.3, CELLS)[:, None] / painted.sum(-1, keepdim=True)
    return seen.flatten(2), painted


def built(*, detecting: bool) -> CandidatesFusion:
    fusion = lively(CandidatesFusion(DIM, GRID, detecting=detecting))
    assert isinstance(fusion, CandidatesFusion)
    with torch.no_grad():
        if fusion.detections is not None:  # a phrase names a few classes clearly
            fusion.detections.name.weight *= 1.5
            fusion.detections.name.bias -= 4
    return fusion.requires_grad_(False)


def asked(*, detecting: bool) -> tuple[Array, Tensor, Tensor, Tensor]:
    """Cells as the side network gives them, visual tokens without them, words, mask."""
    text = normal(2, 5, DIM, seed=2)
    if detecting:  # the first phrase names two colours, the second one, and one where it has ended
        words = torch.zeros(2, 5, COLOURS).double()
        words[0, 1, 0] = words[0, 3, 4] = words[1, 1, 2] = words[1, 4, 0] = 1
        text = torch.cat([text, words], -1)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    more = torch.cat(seen_things(), -1) if detecting else torch.zeros(1, CELLS, 0).double()
    return array(normal(CELLS, DIM)), more, text, mask


def flat(answer: Comparison) -> dict[str, Tensor]:
    found = {name: getattr(answer, name) for name in ("boxes", "logits", "members")}
    return found | {f"matches.{name}": value for name, value in vars(answer.matches).items()}


@pytest.mark.parametrize("detecting", [True, False], ids=["detecting", "cells"])
def test_the_whole_forward_pass(detecting: bool) -> None:
    fusion, (cells, more, text, mask) = built(detecting=detecting), asked(detecting=detecting)
    w = Weights(fusion)
    scene = fusion.prepare(torch.from_numpy(cells)[None])
    same(scene[0], prepared(w, cells))
    visual = torch.cat([scene, more], -1)
    together = flat(fusion(visual, text, mask))
    parts = (scene, *more.split([more.shape[-1] - COLOURS, COLOURS], -1)) if detecting else (scene,)
    apart = flat(fusion([part.expand(2, -1, -1) for part in parts], text, mask))
    for row in range(2):
        words = array(text[row, : int(mask[row].sum())])
        wanted = answered(w, array(visual[0]), words, detecting=detecting)
        assert wanted.keys() == together.keys()
        for name, value in wanted.items():
            same(together[name][row], value, 1e-8)
            same(apart[name][row], value, 1e-8)


def test_the_case_is_one_in_which_everything_matters() -> None:
    """Boxes that cover each other, candidates that differ."""
    fusion, (_, more, text, _) = built(detecting=True), asked(detecting=True)
    w = Weights(fusion)
    seen = array(more[0, :, :-COLOURS]).reshape(CELLS, PLACES, CLASSES + 4)
    detected = Detected(w.part("detections"), seen, array(text[0, :, :DIM]))
    assert 0.05 < detected.known < 0.99
    assert 0 < (detected.boxes[:, 2:] < 1e-3).sum() < DETECTED
    assert max(iou(a, b) for a, b in itertools.combinations(detected.boxes, 2)) < 0.7


def gradients(of: Callable[[Comparison], Tensor]) -> dict[str, float]:
    """Largest gradient of each part of the fusion."""
    fusion, (cells, more, text, mask) = built(detecting=True), asked(detecting=True)
    fusion.requires_grad_(True)
    scene = fusion.prepare(torch.from_numpy(cells)[None])
    of(fusion(torch.cat([scene, more], -1), text, mask)).backward()
    found: dict[str, float] = {}
    for name, p in fusion.named_parameters():
        part, size = name.split(".")[0], 0.0 if p.grad is None else float(p.grad.abs().max())
        found[part] = max(found.get(part, 0.0), size)
    return found


def test_pairs_of_any_size_and_distance() -> None:
    boxes = torch.rand(1, 12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    boxes[..., 2:] = 10 ** (-4 * boxes[..., 2:])
    found = [[pair(one, other) for other in array(boxes[0])] for one in array(boxes[0])]
    same(pair_features(boxes)[0], np.array(found))
    overlaps = [[iou(one, other) for other in array(boxes[0])] for one in array(boxes[0])]
    same(pairwise_iou(boxes)[0].reshape(12, 12), np.array(overlaps))


def test_a_cell_with_a_better_neighbour_counts_a_thousandth() -> None:
    likely = torch.rand(1, CELLS, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    same(built(detecting=False).peaks(likely)[0], peaks(array(likely[0])))


def test_the_likeliest_cells_are_chosen_also_where_all_are_unlikely() -> None:
    named, context = normal(2, 1, CELLS, seed=6) - 4
    none = torch.zeros(1, 0)
    chosen = built(detecting=False).choose(Matches(none, named, context, none))
    for cells, logits, count in zip(chosen, (named, context), (BEST, CONTEXTS), strict=True):
        assert cells[0].tolist() == top(peaks(sigmoid(array(logits[0]))), count).tolist()


def test_the_comparison_teaches_cells_nothing_of_their_boxes_and_logits() -> None:
    learned = gradients(lambda answer: answer.logits.sum() + answer.members.square().sum())
    assert learned["match_head"] == 0
    assert all(size > 0 for part, size in learned.items() if part != "match_head")


def test_the_boxes_of_candidates_teach_nothing() -> None:
    fusion, (cells, more, text, mask) = built(detecting=True), asked(detecting=True)
    fusion.requires_grad_(True)
    visual = torch.cat([fusion.prepare(torch.from_numpy(cells)[None]), more], -1)
    assert not fusion(visual, text, mask).boxes.requires_grad


def test_fewer_cells_than_candidates_are_all_compared() -> None:
    fusion = lively(CandidatesFusion(DIM, 2, detecting=False)).requires_grad_(False)
    text, mask = normal(1, 3, DIM, seed=2), torch.ones(1, 3, dtype=torch.bool)
    answer = fusion(fusion.prepare(normal(1, 4, DIM)), text, mask)
    assert answer.logits.shape == (1, 4)
