"""What a detector and a rule answer to contrastive expressions.

    python -m benchmarks.detector_baseline picodet_s_320_coco.onnx picodet_s_416_coco.onnx

The detector that the vision encoder started from gives boxes of the class that the expression was
generated from; a rule sorts them as its words say. No place and no size is misread, so what is
wrong there was not detected, or once too often; of a colour the most probable box is taken. The
figures go to benchmarks/results/detector.json.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.markdown import table
from benchmarks.record import ROOT, save
from sdk.geometry.boxes import iou_xyxy
from sdk.geometry.decode import suppress
from sdk.inputs.frames import as_bgr
from train.commands import report_errors
from train.data.coco import COCO_CLASSES
from train.data.expressions import ORDINALS
from train.data.readers import data_root
from train.data.samples import Asked
from train.encoders.picodet import Detector
from train.provenance import describe
from train.questions import contrastive_questions
from train.yardsticks.baselines import detector_of

KEPT = 10
"""Boxes of a class that are kept after suppression, the most probable first."""
RANKS = (1, 3, 5, 10)
LEAST_PROBABILITIES = (0.2, 0.3, 0.4)
TOLD = "rule, told how many there are"


def by_rule(text: str, boxes: NDArray[Any]) -> int:
    """Which of (N, 4) xyxy boxes is meant; of a colour the first, which is the most probable."""
    across, down = boxes[:, [0, 2]].mean(1), boxes[:, [1, 3]].mean(1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    *words, last = text.split()
    if "from" in words:
        place = min(ORDINALS.index(words[1]), len(boxes) - 1)
        return int(np.argsort(across if last == "left" else -across)[place])
    if "middle" in (*words, last):
        return int(np.argsort(across)[len(boxes) // 2])
    least = {"left": across, "right": -across, "top": down, "bottom": -down}
    least |= {"small": area, "big": -area, "larg": -area}
    keys = [key for stem, key in least.items() if re.search(rf"\b{stem}", text)]
    return int(np.argmin(keys[0])) if keys else 0


def answer(detector: Detector, questions: Asked) -> dict[str, float]:
    """Percent of the questions of which something is right, see `main`."""
    right: dict[str, list[bool]] = defaultdict(list)
    for photo, expressions in tqdm(questions, desc=detector.name, unit="photo"):
        (boxes,), (probabilities,) = detector([as_bgr(photo.path)])
        for expression in expressions:
            likely = probabilities[COCO_CLASSES.index(expression.label)]
            kept = suppress(boxes, likely, KEPT)
            found = iou_xyxy(boxes[kept], expression.boxes)[:, 0] >= 0.5
            for rank in RANKS:
                right[f"among the best {rank}"].append(bool(found[:rank].any()))
            right[TOLD].append(
                found[by_rule(expression.text, boxes[kept[: expression.num_instances]])]
            )
            for least in LEAST_PROBABILITIES:
                sure = max(1, int((likely[kept] >= least).sum()))
                chosen = by_rule(expression.text, boxes[kept[:sure]])
                right[f"rule, of those from {least}"].append(found[chosen])
    return {name: round(100 * float(np.mean(values)), 1) for name, values in right.items()}


def report(names: Sequence[str], figures: Sequence[dict[str, float]]) -> str:
    """A row a measure, a column a detector."""
    rows = [[row, *(f"{f[row]:.1f}" for f in figures)] for row in figures[0]]
    return table(["%", *names], rows)


@report_errors(ValueError, OSError)
def main() -> None:
    """Print the table, write the JSON.

    Asked are contrastive expressions with two or three instances whose class the detector knows:
    whether the box is among its best of the class, and whether a rule chooses it.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detectors", type=Path, nargs="+", help="PicoDet-S .onnx, 320 or 416")
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    results = ROOT / "benchmarks/results/detector.json"
    parser.add_argument("--json", type=Path, default=results, help="file to write")
    args = parser.parse_args()
    questions = [
        (photo, [e for e in asked if e.num_instances in (2, 3) and e.label in COCO_CLASSES])
        for photo, asked in contrastive_questions(data_root(args.data))
    ]
    detectors = list(map(detector_of, args.detectors))
    figures = [answer(detector, [q for q in questions if q[1]]) for detector in detectors]
    names = [detector.name for detector in detectors]
    phrases = sum(len(asked) for _, asked in questions)
    print(report(names, figures))
    print(f"{phrases} expressions")
    detected = dict(zip(names, figures, strict=True))
    save(args.json, {"machine": describe(), "phrases": phrases, "percent": detected})


if __name__ == "__main__":
    sys.exit(main())
