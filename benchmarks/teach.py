"""Names taught from a few examples: what is found and refused, what it costs, what is forgotten.

    python -m benchmarks.teach [--bundle FOLDER]

Six things get a name that no text encoder knows. The frozen encoder's own teacher, a detector of 80
classes, has no name for any of them; the side network has read captions of the last four. Examples
and tests are different photos. Writes `benchmarks/results/teach.json` and `docs/images/teach.png`.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.record import ROOT, percentiles, save
from benchmarks.teach_pytorch import Shown, right_boxes
from sdk import Grounder, Lesson
from sdk.bundle import DEFAULT_BUNDLE
from sdk.geometry.boxes import iou_xyxy
from sdk.inputs.frames import as_bgr
from train.data.nouns import last_word
from train.data.places import area
from train.data.readers import data_root, read_detection, read_expressions
from train.data.samples import Box, Photo
from train.provenance import describe
from train.yardsticks.lists import CAPTIONS, everyday_questions, frozen_questions

NAME = "zorbl"
LABELLED = ("raccoon", "kangaroo")
CAPTIONED = ("helmet", "pool", "hat", "ramp")
EXAMPLES = (1, 3, 10, 30)
WITH_ABSENT = 5
"""Of ten examples, photos without the thing that are given beside them in one row."""
TESTED = 40
LESSONS = 20
SHARES = (0.01, 0.7)
"""Of a photo's area, a thing's."""


def things_of(root: Path) -> dict[str, tuple[list[Shown], list[Path]]]:
    """Thing -> photos that hold one of it, with its box, and photos without; in random order."""
    labelled = [p for split in ("train", "val") for p in read_detection(root, split)]
    captioned = [p for split in ("train", "val") for p in read_expressions(root, split)]
    found: dict[str, tuple[list[Shown], list[Path]]] = {}
    for thing in (*LABELLED, *CAPTIONED):
        shown: list[Shown] = []
        without: list[Path] = []
        for photo in labelled if thing in LABELLED else captioned:
            boxes = boxes_of(photo, thing)
            if len(boxes) == 1 and SHARES[0] < area(boxes[0]) < SHARES[1]:
                shown.append((photo.path, boxes[0]))
            elif lacks(photo, thing):
                without.append(photo.path)
        for part in (shown, without):
            random.Random(thing).shuffle(part)  # type: ignore[arg-type]
        found[thing] = shown, without
    return found


def boxes_of(photo: Photo, thing: str) -> list[Box]:
    """Boxes of the thing: labelled ones, or those of phrases that end in its name."""
    if thing in LABELLED:
        return [instance.box for instance in photo.instances if instance.label == thing]
    return sorted({box for e in photo.expressions if last_word(e.text) == thing for box in e.boxes})


def lacks(photo: Photo, thing: str) -> bool:
    """Whether the photo is known, or nobody says, to have one."""
    if thing in LABELLED:
        return thing in photo.known_labels and not boxes_of(photo, thing)
    return not any(thing in expression.text.lower() for expression in photo.expressions)


def pixels(path: Path, box: Box) -> tuple[float, ...]:
    """Fractions -> pixels of the photo."""
    height, width = as_bgr(path).shape[:2]
    return tuple(min(edge, 1.0) * size for edge, size in zip(box, [width, height] * 2, strict=True))


def scores(grounder: Grounder, phrase: str, tested: Sequence[Shown], absent: Sequence[Path]) -> Any:
    """Percent of boxes that are right, right and found, and of absent things that are refused."""
    answers = [(grounder.ground(path, phrase), pixels(path, box)) for path, box in tested]
    right = [bool(iou_xyxy([box], [answer.box])[0, 0] >= 0.5) for answer, box in answers]
    found = [ok and answer.found for ok, (answer, _) in zip(right, answers, strict=True)]
    refused = [not grounder.ground(path, phrase).found for path in absent]
    return {
        "right": percent(right),
        "found_and_right": percent(found),
        "absent_rejected": percent(refused),
    }


def percent(values: Sequence[bool]) -> float:
    return round(100 * float(np.mean(values)), 1)


def teach(grounder: Grounder, examples: Sequence[tuple[Path, Any]]) -> tuple[Lesson, float]:
    """One is shown, more are taught; the lesson and its seconds."""
    started = time.perf_counter()
    if len(examples) == 1:
        lesson = grounder.remember(NAME, *examples[0])
    else:
        lesson = grounder.teach(NAME, examples, even_if_worse=True)
    return lesson, time.perf_counter() - started


def taught(
    grounder: Grounder, bundle: Path, thing: str, shown: list[Shown], without: list[Path]
) -> Any:
    """All that is measured of one thing."""
    most = max(EXAMPLES)
    tested, absent = shown[most : most + TESTED], without[:TESTED]
    examples = [(path, pixels(path, box)) for path, box in shown[:most]]
    more = [(path, None) for path in without[TESTED : TESTED + WITH_ABSENT]]
    rows = [{"examples": 0, **scores(grounder, f"the {NAME}", tested, absent)}]
    for count, beside in (*((count, []) for count in EXAMPLES), (10, more)):
        lesson, seconds = teach(grounder, [*examples[:count], *beside])
        row = {"examples": count, "absent_examples": len(beside), "read_as": lesson.noun}
        row |= {"seconds": round(seconds, 2), **scores(grounder, f"the {NAME}", tested, absent)}
        if count == 10 and not beside:
            right = right_boxes(grounder, bundle, lesson.noun, shown[:10], tested)
            row["right_by_pytorch"] = percent(right)
        rows.append(row)
        print(thing, row, flush=True)
        grounder.remove(NAME)
    return {
        "tested": len(tested),
        "absent": len(absent),
        "untaught_word": scores(grounder, f"the {thing}", tested, absent),
        "rows": rows,
    }


def shown_once(grounder: Grounder, shown: Sequence[Shown]) -> dict[str, float]:
    """Milliseconds of `remember`, now and then: the first of a process encodes the nouns."""
    taken = []
    for path, box in shown:
        frame, edges = as_bgr(path), pixels(path, box)
        time.sleep(0.3)
        started = time.perf_counter()
        grounder.remember(NAME, frame, edges)
        taken.append(1000 * (time.perf_counter() - started))
        grounder.remove(NAME)
    return percentiles(taken[1:], (50, 95))


def changed_answers(plain: Grounder, lessons: Grounder, root: Path) -> dict[str, Any]:
    """Questions of val's captions and of the everyday yardstick that are answered otherwise."""
    changed = {}
    lists = {CAPTIONS: frozen_questions(root, CAPTIONS), "everyday": everyday_questions(root)}
    for name, asked in lists.items():
        pairs = [
            (plain.ground(photo.path, phrases), lessons.ground(photo.path, phrases))
            for photo, expressions in asked
            if (phrases := [expression.text for expression in expressions])
        ]
        count = sum(len(before) for before, _ in pairs)
        other = sum(a != b for before, after in pairs for a, b in zip(before, after, strict=True))
        changed[name] = {"questions": count, "changed": other}
    return changed


def many_lessons(plain: Grounder, taught: Grounder, lesson: Lesson, frame: Path) -> Any:
    """Milliseconds of a phrase on a new frame, without lessons and with many, in turn."""
    for number in range(LESSONS):
        taught.apply(dataclasses.replace(lesson, name=f"{NAME} {number}"))
    asked = {
        "no lessons, another phrase": (plain, "the dog"),
        f"{LESSONS} lessons, another phrase": (taught, "the dog"),
        f"{LESSONS} lessons, a taught name": (taught, f"the {NAME} 0"),
    }
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(60):
        for name, (grounder, phrase) in asked.items():
            started = time.perf_counter()
            grounder.ground(frame, phrase)
            taken[name].append(1000 * (time.perf_counter() - started))
    return {name: percentiles(times[5:], (50, 95)) for name, times in taken.items()}


def draw(things: dict[str, Any], path: Path) -> None:
    """Found and right over examples, a line a thing; and what is refused."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    keys = {"found_and_right": "found, with the right box (%)", "absent_rejected": "refused (%)"}
    for axis, (key, label) in zip(axes, keys.items(), strict=True):
        for thing, measured in things.items():
            rows = [row for row in measured["rows"] if not row.get("absent_examples")]
            counts = [row["examples"] for row in rows]
            axis.plot(counts, [row[key] for row in rows], marker="o", label=thing)
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks([0, *EXAMPLES], [str(n) for n in (0, *EXAMPLES)])
        axis.set(xlabel="examples", ylabel=label, ylim=(-3, 103))
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="model folder")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: physical cores)")
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--json", type=Path, default=results / "teach.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "images" / "teach.png")
    args = parser.parse_args()
    root = data_root(args.data)
    grounder = Grounder.load(args.bundle, device="cpu", threads=args.threads)
    found = things_of(root)
    things = {thing: taught(grounder, args.bundle, thing, *parts) for thing, parts in found.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown, _ = found["raccoon"]
    milliseconds = shown_once(grounder, shown[:20])
    lesson, _ = teach(grounder, [(path, pixels(path, box)) for path, box in shown[:10]])
    plain = Grounder.load(args.bundle, device="cpu", threads=args.threads)
    forgotten = changed_answers(plain, grounder, root)
    grounder.remove(NAME)
    record = {
        "machine": describe(),
        "name": NAME,
        "things": things,
        "shown_once_ms": milliseconds,
        "peak_mib": round(peak),
        "answers_changed_by_a_lesson": forgotten,
        "many_lessons_ms": many_lessons(plain, grounder, lesson, shown[0][0]),
    }
    save(args.json, record)
    draw(things, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
