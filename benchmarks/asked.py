"""Phrases of ordinary use, what a model answers to them, and how the answers are counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.markdown import table
from benchmarks.record import ROOT
from sdk import Grounder, Grounding
from sdk.geometry.boxes import iou_xyxy
from sdk.results import Box
from train.data.formats import union_xyxy

ASKINGS = ROOT / "benchmarks/askings.json"
KINDS = ("unique", "attribute", "position", "relation", "size", "part", "several")
"""Of phrases whose thing is there; the others are "absent"."""
RIGHT, WRONG, REFUSED = "right", "wrong", "refused"
TOLD_ABSENT, ABSENT_FOUND = "told absent", "absent found"
PRESENT_OUTCOMES, ABSENT_OUTCOMES = (RIGHT, WRONG, REFUSED), (TOLD_ABSENT, ABSENT_FOUND)
LOST = "right boxes among the refused"
LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class Asking:
    """One phrase and where its thing is."""

    id: str
    phrase: str
    boxes: tuple[Box, ...]
    """Left, top, right, bottom in pixels of the picture; none where the thing is absent."""
    kind: str


@dataclass(frozen=True)
class Picture:
    """A picture and what is asked of it."""

    image: str
    """Path from the repository's root."""
    sha256: str
    credit: str
    asked: tuple[Asking, ...]


@dataclass(frozen=True)
class Answer:
    """What a model said to one phrase, and what became of it."""

    asking: Asking
    result: Grounding

    @property
    def overlap(self) -> float:
        """Best intersection over union with a true box, or with the box around all; in [0, 1]."""
        if not self.asking.boxes:
            return 0.0
        true = [*self.asking.boxes, union_xyxy(self.asking.boxes)]
        return float(iou_xyxy([self.result.box], true).max())

    @property
    def outcome(self) -> str:
        """One of the outcomes above. "refused": the thing is there and was called absent."""
        if not self.asking.boxes:
            return ABSENT_FOUND if self.result.found else TOLD_ABSENT
        if not self.result.found:
            return REFUSED
        return RIGHT if self.overlap >= LEAST_OVERLAP else WRONG

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; a box in tenths of a pixel."""
        return {
            "id": self.asking.id,
            "phrase": self.asking.phrase,
            "outcome": self.outcome,
            "overlap": round(self.overlap, 3),
            "score": round(self.result.score, 3),
            "box": [round(edge, 1) for edge in self.result.box],
        }


def load(path: Path = ASKINGS) -> list[Picture]:
    """Read the pictures and phrases.

    Args:
        path: JSON as benchmarks/askings.json.

    Raises:
        OSError: the file cannot be read.
        KeyError: something is left out.
        ValueError: not JSON.
    """
    pictures = json.loads(path.read_text(encoding="utf-8"))["pictures"]
    return [
        Picture(
            **{key: picture[key] for key in ("image", "sha256", "credit")},
            asked=tuple(
                Asking(a["id"], a["phrase"], tuple(map(tuple, a["boxes"])), a["kind"])
                for a in picture["asked"]
            ),
        )
        for picture in pictures
    ]


def ask(grounder: Grounder, pictures: Iterable[Picture]) -> list[list[Answer]]:
    """Ask everything, each picture encoded once.

    Args:
        grounder: the model.
        pictures: as `load` gives them.

    Returns:
        The answers of each picture, in the order of its phrases.

    Raises:
        GroundingError: a picture cannot be read.
    """
    answers = []
    for picture in pictures:
        results = grounder.ground(ROOT / picture.image, [asking.phrase for asking in picture.asked])
        answers.append([Answer(*pair) for pair in zip(picture.asked, results, strict=True)])
    return answers


def tally(answers: Sequence[Answer]) -> dict[str, Any]:
    """Count the outcomes.

    Args:
        answers: of any pictures.

    Returns:
        Counts: "present" and "absent" phrases, each outcome, how many of the refused had a right
        box, and under "kinds" the outcomes of each kind of present phrase.
    """
    outcomes = Counter(answer.outcome for answer in answers)
    lost = [a for a in answers if a.outcome == REFUSED and a.overlap >= LEAST_OVERLAP]
    kinds = {
        kind: Counter(answer.outcome for answer in answers if answer.asking.kind == kind)
        for kind in KINDS
    }
    return {
        "present": sum(outcomes[name] for name in PRESENT_OUTCOMES),
        "absent": sum(outcomes[name] for name in ABSENT_OUTCOMES),
        **{name: outcomes[name] for name in (*PRESENT_OUTCOMES, *ABSENT_OUTCOMES)},
        LOST: len(lost),
        "kinds": {
            kind: {name: found[name] for name in PRESENT_OUTCOMES} for kind, found in kinds.items()
        },
    }


def report(counts: dict[str, Any]) -> str:
    """Two Markdown tables of what `tally` counted: all phrases, then the present ones by kind."""
    groups = [("present", PRESENT_OUTCOMES), ("absent", ABSENT_OUTCOMES)]
    rows = [
        [f"{group}: {name}", f"{counts[name]} of {counts[group]}", share(counts, name, group)]
        for group, names in groups
        for name in names
    ]
    refused = f"{counts[LOST]} of {counts[REFUSED]}"
    rows.append([LOST, refused, share(counts, LOST, REFUSED)])
    kinds = [
        [kind, *(str(found[name]) for name in PRESENT_OUTCOMES)]
        for kind, found in counts["kinds"].items()
    ]
    overall = table(["", "phrases", "%"], rows)
    return f"{overall}\n\n{table(['kind', *PRESENT_OUTCOMES], kinds)}"


def share(counts: dict[str, Any], name: str, group: str) -> str:
    """Percent of a group, without decimals; a dash for an empty group."""
    return f"{100 * counts[name] / counts[group]:.0f}" if counts[group] else "-"
