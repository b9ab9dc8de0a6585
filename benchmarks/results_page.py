"""docs/results.md and its picture, written from the committed JSON: `make results` after measuring.

No number of that page is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.markdown import table
from benchmarks.record import ROOT
from train.evaluate import SECTIONS

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"
PICTURE = ROOT / "docs" / "images" / "reliability.png"


def figure(value: float | None) -> str:
    """One digit after the point; a dash for what could not be measured."""
    return "-" if value is None else f"{value:.1f}"


def breakdown(what: str, rows: dict[str, Any]) -> str:
    """One line per kind of expression or size of its box, as `what` says."""
    lines = [[name, figure(row["accuracy"]), f"{row['phrases']:,}"] for name, row in rows.items()]
    return table([what, "Acc@0.5", "phrases"], lines)


def overview(accuracy: dict[str, Any]) -> str:
    """The head lines: sections, absent things, calibration."""
    rows = [
        [
            title.format(split="validation"),
            figure(accuracy[name]["accuracy"]),
            f"{accuracy[name]['phrases']:,}",
        ]
        for name, title in SECTIONS.items()
    ]
    absent = accuracy["absent"]
    rows += [
        ["absent things called absent, %", figure(absent["n_acc"]), f"{absent['phrases']:,}"],
        ["right boxes lost to the threshold, %", figure(absent["right_boxes_lost"]), ""],
        ["AUROC of the score, present against absent", figure(absent["auroc"]), ""],
        ["calibration error, present phrases, points", figure(accuracy["calibration_error"]), ""],
        [
            "calibration error with the absent ones, points",
            figure(accuracy["calibration_error_with_absent"]),
            "",
        ],
    ]
    return table(["", "Acc@0.5 or as named", "phrases"], rows)


def robust(accuracy: dict[str, Any]) -> str:
    """What a worse picture or another wording costs."""
    rows = [
        [
            name,
            figure(row["clean"]),
            figure(row["accuracy"]),
            figure(row["lost"]),
            f"{row['phrases']:,}",
        ]
        for name, row in accuracy["robustness"].items()
    ]
    return table(["condition", "as it is", "under the condition", "points lost", "phrases"], rows)


def latencies(latency: dict[str, Any]) -> str:
    """Milliseconds of the SDK's calls, each precision."""
    rows = [
        [
            precision,
            name,
            f"{row['p50']:.1f}",
            f"{row['p90']:.1f}",
            f"{row['p99']:.1f}",
            str(row["samples"]),
        ]
        for precision, run in latency["runs"].items()
        for name, row in run["milliseconds"].items()
    ]
    return table(["precision", "call", "median ms", "p90", "p99", "calls"], rows)


def machine(record: dict[str, Any]) -> str:
    """Where a file of figures comes from."""
    m = record["machine"]
    cores = f"{m['cores']} core{'s' if m['cores'] > 1 else ''}"
    return f"{m['cpu']}, {cores}, ONNX Runtime {m['onnxruntime']}, commit {m['commit']}"


def plot_reliability(rows: list[dict[str, float]], path: Path) -> None:
    """Share of right boxes over the score; a calibrated score lies on the diagonal."""
    plot = Figure(figsize=(5, 6), layout="constrained")
    top, bottom = plot.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    scores = [row["score"] for row in rows]
    top.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="calibrated")
    top.plot(scores, [row["right"] for row in rows], marker="o", label="default bundle")
    top.set(ylabel="share of right boxes (IoU of 0.5)", xlim=(0, 1), ylim=(0, 1))
    top.legend()
    bottom.bar(scores, [row["phrases"] for row in rows], width=0.06)
    bottom.set(xlabel="score", ylabel="phrases")
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(path, dpi=110)


def page(accuracy: dict[str, Any], latency: dict[str, Any]) -> str:
    """The Markdown text."""
    megabytes = accuracy["bundle"]["graph_bytes"] / 1e6
    settings = next(iter(latency["runs"].values()))["settings"]
    width, height = settings["size_wh"]
    return f"""# Results of the default bundle

Written by `make results` from [benchmarks/results](../benchmarks/results); everything goes through
the shipped bundle and `sdk`.
Accuracy: {machine(accuracy)}. Latency: {machine(latency)}.

## Accuracy

{overview(accuracy)}

Present and absent phrases are those of `train/questions.py`: caption phrases of the validation
photos, expressions generated from labelled boxes of photos held back from training, and one phrase
per photo, captioned or labelled, that names nothing in it. The calibration is for captioned photos
with one absent phrase each, and half of them served to fit it and the threshold.

![Reliability diagram](images/reliability.png)

## By kind

Flickr30k Entities val, single-box phrases:

{breakdown("kind", accuracy["val_single_box"]["by_kind"])}

The same with a distractor, another box of the same kind in the photo:

{breakdown("kind", accuracy["val_distractor"]["by_kind"])}

Contrastive expressions, two or three instances:

{breakdown("kind", accuracy["contrastive_two_or_three"]["by_kind"])}

Contrastive expressions, four or more instances:

{breakdown("kind", accuracy["contrastive_four_or_more"]["by_kind"])}

Two or three instances again, by the share of the photo that the box to find covers:

{breakdown("share", accuracy["contrastive_by_area"])}

## Robustness

Single-box phrases of Flickr30k Entities val. A condition on the text counts only the phrases that
it changes.

{robust(accuracy)}

## Latency and size

All graph files together: {megabytes:.1f} MB. {width}x{height} frames,
`threads={settings["threads"]}`. `vision`, `text` and `fusion` are the graphs alone; the phrases of
a new frame were encoded before.

{latencies(latency)}
"""


def main() -> int:
    """Write the page and the picture."""
    accuracy, latency = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("accuracy", "latency")
    )
    plot_reliability(accuracy["reliability"], PICTURE)
    PAGE.write_text(page(accuracy, latency))
    print(f"written: {PAGE}, {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
