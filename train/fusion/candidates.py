"""Candidates fusion: cells find what a phrase names, and the best of them are compared.

    once a frame   side network's cells -> positions -> scene layers -> half the width
                                                                    |    detector's boxes
    once a phrase  cells + boxes of the classes that the phrase names <---------+
                   [ words -> cells | feed-forward ] x 2
                        -> every cell: box, "one of what the noun names", "named beside it"
                   the best cells and the best of the detector's boxes, two dozen candidates
                   [ candidates <-> candidates | words -> candidates | feed-forward ] x 2
                        -> "the one that is meant", "one of those that are meant"

"The bigger dog next to the bench" is a comparison of a few things with their boxes in view, so all
that compares is computed on candidates, and what does not depend on the phrase once a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdk.bundle.contract import COLOURS, DETECTIONS
from train.fusion.base import Answers, Fusion, Tensors
from train.fusion.colours import ColourHits, NamedColours, no_colour_named
from train.fusion.detections import LevelOutputs, NamedDetections, NamedHits, nothing_named
from train.fusion.layers import (
    SceneLayer,
    cell_centers,
    cells_within,
    starting_at_zero,
    taken,
    taken_of_frame,
    to_boxes,
)
from train.fusion.match import HEADS, PAIR_FEATURES, CompareLayer, MatchLayer, pair_features

SCENE_LAYERS, MATCH_LAYERS, COMPARE_LAYERS = 2, 2, 2
CANDIDATES, DETECTED, CONTEXTS = 14, 6, 6
"""What the answer is chosen from: cells, and boxes of the detector; and cells of what the phrase
names beside it."""
MATCH_WEIGHT, DETECTED_WEIGHT = 2.0, 2.0
"""At the start, in a candidate's logits: of its cell's match, and of being a detector's box of a
class that the phrase names."""
NOT_A_PEAK = 1e-3
"""Factor by which a cell with a better neighbour is ranked lower: it keeps the order of the rest,
where an offset would round small differences away."""
EVIDENCE, EVIDENCE_HIDDEN = 5, 16
"""What detector and colours say of a candidate: see `CandidatesFusion.weigh`."""
ENOUGH_COLOUR, NO_COLOUR = 8.0, 2.0
"""An eighth of a candidate is enough of a colour that is asked for; the logits that it loses
without. Not trained: training weakens the rule to half of what colours tell of photos."""
RIVAL = 1.0
"""At the start: the logits that a candidate loses for being surely something else."""


@dataclass(frozen=True)
class Matches(Tensors):
    """What every cell says of a phrase, before cells are compared."""

    boxes: Tensor
    """(P, N, 4) cxcywh, fractions of the network input."""
    named: Tensor
    """(P, N) logits: one of what the phrase's noun names."""
    context: Tensor
    """(P, N) logits: something that the phrase names beside it."""
    classes: Tensor
    """(P, CLASSES) logits: the detector's classes that the phrase names; (P, 0) without one."""


@dataclass(frozen=True)
class Comparison(Answers):
    """The candidates of a phrase, best cells first."""

    members: Tensor
    """(P, K) logits: one of those that are meant ("the dogs")."""
    matches: Matches
    """What they were chosen by."""


@dataclass(frozen=True)
class ComparisonWithLevels(Comparison):
    """The same of a model whose detector trains along."""

    levels: list[LevelOutputs]
    """What the detector says of the photos."""


class CandidatesFusion(Fusion):
    """Over a square grid of `grid` x `grid` cells, `detecting` with a detector's boxes and colours
    behind them.

    Returns:
        the `Comparison`.
    """

    centers: Tensor

    def __init__(self, dim: int, grid: int, *, detecting: bool) -> None:
        super().__init__()
        self.dim, self.grid = dim, grid
        half = dim // 2
        self.scene_dim = dim + half
        counts = (CANDIDATES, DETECTED if detecting else 0, CONTEXTS)
        self.counts = [min(k, grid * grid) for k in counts]
        self.positions = nn.Parameter(torch.empty(1, grid * grid, dim).normal_(std=0.02))
        self.scene = nn.ModuleList(
            SceneLayer(dim, HEADS, grid, mix_globally=index > 0) for index in range(SCENE_LAYERS)
        )
        self.narrow, self.narrow_text = nn.Linear(dim, half), nn.Linear(dim, half)
        self.detections = NamedDetections(half, dim, grid, self.counts[1]) if detecting else None
        self.colours = NamedColours(half) if detecting else None
        self.evidence = start_evidence(dim) if detecting else None
        self.match = nn.ModuleList(MatchLayer(half) for _ in range(MATCH_LAYERS))
        self.norm = nn.LayerNorm(half)
        self.match_head = nn.Sequential(nn.Linear(half, half), nn.ReLU(), nn.Linear(half, 6))
        self.gather = nn.Linear(half + dim, dim)
        self.pool = nn.Linear(dim, dim)
        nn.init.zeros_(self.pool.weight)
        nn.init.zeros_(self.pool.bias)
        self.place = nn.Sequential(nn.Linear(9, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.roles = nn.Parameter(torch.empty(3, dim).normal_(std=0.02))
        self.pairs = nn.Sequential(
            nn.Linear(PAIR_FEATURES, 16), nn.ReLU(), nn.Linear(16, COMPARE_LAYERS * HEADS)
        )
        self.compare = nn.ModuleList(CompareLayer(dim) for _ in range(COMPARE_LAYERS))
        self.match_weight = nn.Parameter(torch.tensor(MATCH_WEIGHT))
        self.detected_weight = nn.Parameter(torch.tensor(DETECTED_WEIGHT))
        self.norm_out = nn.LayerNorm(dim)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2))
        self.presence = nn.Sequential(nn.Linear(2 * dim + 2, dim), nn.ReLU(), nn.Linear(dim, 1))
        start_candidates(self.match_head, self.head, self.presence)
        self.register_buffer("centers", cell_centers(grid), persistent=False)

    def prepare(self, visual: Tensor) -> Tensor:
        """Visual tokens (B, N, D) -> the scene (B, N, D + D / 2): its cells, and narrow ones."""
        visual = visual + self.positions
        for layer in self.scene:
            visual = self.run(layer, visual)
        return torch.cat([visual, self.narrow(visual)], dim=-1)

    def forward(
        self, visual: Tensor | Sequence[Tensor], text: Tensor, text_mask: Tensor
    ) -> Comparison:
        """Visual tokens (1|P, N, Dv), text tokens (P, L, Dt) and their mask, True for words."""
        if isinstance(visual, Tensor):
            seen = [DETECTIONS, COLOURS] if self.detections is not None else []
            visual = visual.split([self.scene_dim, *seen], dim=-1)
        scene, *others = visual
        text, *words = text.split([self.dim, *[COLOURS] * bool(others)], dim=-1)
        named, painted = nothing_named(text, scene.shape[1]), no_colour_named(text, scene.shape[1])
        if self.detections is not None and self.colours is not None:
            named = self.detections(others[0], text, text_mask, self.centers)
            painted = self.colours(others[1], words[0], text_mask)
        cells, matches = self.find(scene, named, painted, text, text_mask)
        best, beside = self.choose(matches)
        chosen = torch.cat([best, named.cells, beside], dim=1)  # (P, K + contexts)
        boxes = torch.cat(
            [taken(matches.boxes, best), named.boxes, taken(matches.boxes, beside)], 1
        )
        boxes = boxes.detach()
        says = taken(torch.stack([matches.named, matches.context, named.seen], -1), chosen)
        own = taken_of_frame(scene, chosen)[..., : self.dim]
        things = self.gather(torch.cat([taken(cells, chosen), own], dim=-1))
        middle = cells_within(boxes, self.centers[: self.grid, 0])
        things = things + self.pool(middle @ scene[..., : self.dim])  # the scene may be one for all
        weighed = torch.zeros_like(says[..., 0])
        if others:
            more, weighed = self.weigh(named, painted, others[0], chosen, middle)
            things = things + more
        things = self.compared(things, boxes, says, text, text_mask)
        one, member = self.head(things).split([1, 1], dim=-1)
        # Is it here at all? One more logit from what is looked at, from the whole phrase, and from
        # whether the detector knows what is named and sees it.
        looked = (one.softmax(1) * things).sum(1)
        known = [named.known, named.seen.amax(1, keepdim=True)]
        present = self.presence(torch.cat([looked, text[:, 0], *known], dim=-1))
        count = one.shape[1]
        answered = chosen[:, :count]
        # The comparison adds to what match, detector and colours say: it need not learn that again.
        matched = present + self.match_weight * matches.named.detach().gather(1, answered)
        matched = matched + weighed[:, :count]
        if self.detections is not None:
            trusted = (self.detected_weight * named.known).expand_as(named.hits)
            matched = matched + F.pad(trusted, (best.shape[1], 0))
        return Comparison(
            boxes[:, :count],
            one.squeeze(-1) + matched,
            member.squeeze(-1) + matched,
            matches,
        )

    def find(
        self,
        scene: Tensor,
        named: NamedHits,
        painted: ColourHits,
        text: Tensor,
        text_mask: Tensor,
    ) -> tuple[Tensor, Matches]:
        """Cells (P, N, D / 2) that have read the phrase, and what they say."""
        cells, text = scene[..., self.dim :] + named.told + painted.told, self.narrow_text(text)
        for layer in self.match:
            cells = self.run(layer, cells, text, text_mask)
        cells = self.norm(cells)
        logit, context, sides = self.match_head(cells).split([1, 1, 4], dim=-1)
        boxes = to_boxes(self.centers, sides)
        matches = Matches(boxes, logit.squeeze(-1), context.squeeze(-1), named.classes)
        return cells, matches

    def choose(self, matches: Matches) -> tuple[Tensor, Tensor]:
        """Cells (P, K) of candidates, and of what is named beside them."""
        cells, _, contexts = self.counts
        best = self.peaks(matches.named.detach().sigmoid()).topk(cells, dim=1).indices
        beside = self.peaks(matches.context.detach().sigmoid()).topk(contexts, dim=1).indices
        return best, beside

    def weigh(
        self, named: NamedHits, painted: ColourHits, seen: Tensor, chosen: Tensor, middle: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What detector and colours add to candidates (P, K): features (P, K, D), logits (P, K).

        Args:
            seen: the detections. chosen: cells of the candidates.
            middle: (P, K, N), see `cells_within`.
        """
        assert self.detections is not None and self.evidence is not None
        shares = (middle @ painted.shares[..., None]).squeeze(-1)
        hits = named.seen.gather(1, chosen)
        rivals = self.detections.rivals(seen, named, chosen)
        facts = [shares, painted.asked, hits, rivals, named.known]
        facts = [fact.expand_as(shares) for fact in facts]
        more, weighed = self.evidence(torch.stack(facts, -1)).split([self.dim, 1], dim=-1)
        lacking = F.relu(painted.asked - ENOUGH_COLOUR * shares)
        return more, weighed.squeeze(-1) - NO_COLOUR * lacking

    def compared(
        self, things: Tensor, boxes: Tensor, says: Tensor, text: Tensor, text_mask: Tensor
    ) -> Tensor:
        """Features (P, K, D) of the candidates after the comparison.

        Args:
            things: (P, K + contexts, D) features of their cells. boxes: cxcywh.
            says: (P, K + contexts, 3) what their cells say.
        """
        about = torch.cat([boxes, boxes[..., 2:].clamp(min=1e-3).log(), says.detach()], -1)
        things = things + self.place(about)
        # Not `repeat_interleave`, whose exported graph OpenVINO 2026.4 cannot load.
        roles = zip(self.roles, self.counts, strict=True)
        things = things + torch.cat([role.expand(count, -1) for role, count in roles if count])
        biases = self.pairs(pair_features(boxes)).permute(0, 3, 1, 2)
        for layer, bias in zip(self.compare, biases.split(HEADS, dim=1), strict=True):
            things = layer(things, bias, text, text_mask)
        return self.norm_out(things[:, : -self.counts[2]])

    def peaks(self, likely: Tensor) -> Tensor:
        """(P, N) probabilities, less for cells with a better neighbour: one thing has few cells."""
        image = likely.unflatten(1, (1, self.grid, self.grid))
        peak = F.max_pool2d(image, 3, stride=1, padding=1) == image
        return torch.where(peak.flatten(1), likely, NOT_A_PEAK * likely)


def start_evidence(dim: int) -> nn.Sequential:
    """Starts with a rule: a candidate is not rather something else that the detector knows.
    Training alone finds it slowly."""
    layers = starting_at_zero(EVIDENCE, EVIDENCE_HIDDEN, dim + 1)
    first, last = (layers[i].get_parameter("weight") for i in (0, -1))
    with torch.no_grad():
        layers[0].get_parameter("bias")[0] = -1.0
        first[0] = torch.tensor([0, 0, -1.0, 1.0, 1.0])
        last[-1, 0] = -RIVAL
    return layers


def start_candidates(match: nn.Sequential, head: nn.Sequential, presence: nn.Sequential) -> None:
    """Start from boxes of a third of the image and "probably not here"."""
    for last, sides in ((match[-1], -1.6), (head[-1], 0.0), (presence[-1], 0.0)):
        nn.init.zeros_(last.get_parameter("weight"))
        nn.init.constant_(last.get_parameter("bias"), sides)
    nn.init.constant_(match[-1].get_parameter("bias")[:2], -4.0)
    nn.init.constant_(head[-1].get_parameter("bias"), -2.0 + 4.0 * MATCH_WEIGHT)
