"""`python -m train.contact_sheet`: the worst mistakes of a bundle, many to a picture.

Green is where the thing is, red is the bundle's box. The surest mistakes come first. The pictures
hold photos of the dataset: keep them to yourself where its licence says so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sdk import Grounder, GroundingError
from sdk.frames import as_bgr
from train.data.readers import data_root
from train.data.samples import Box, DataError
from train.evaluator import Outcome, bundle_predict, evaluate
from train.questions import absent_questions, caption_questions, contrastive_questions, single_box

QUESTIONS = {
    "captions": lambda root: single_box(caption_questions(root)),
    "contrastive": contrastive_questions,
    "absent": absent_questions,
}
TILE, CAPTION, COLUMNS, ROWS = 256, 34, 5, 4
GREEN, RED, WHITE = (80, 220, 80), (60, 60, 255), (255, 255, 255)


def tile(outcome: Outcome) -> NDArray[np.uint8]:
    """One photo with its phrase, (TILE + CAPTION, TILE, 3) uint8 BGR."""
    photo = np.asarray(cv2.resize(as_bgr(outcome.photo.path), (TILE, TILE)), np.uint8)
    for box in outcome.expression.boxes:
        _rectangle(photo, box, GREEN)
    _rectangle(photo, outcome.box, RED)
    strip = np.zeros((CAPTION, TILE, 3), np.uint8)
    figures = f"score {outcome.score:.2f}, IoU {outcome.iou:.2f}, {outcome.expression.kind}"
    for line, text in enumerate((outcome.expression.text[:40], figures)):
        cv2.putText(strip, text, (3, 13 + 15 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, WHITE)
    return np.concatenate([strip, photo])


def _rectangle(image: NDArray[np.uint8], box: Box, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = (round(edge * TILE) for edge in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2)


def sheets(mistakes: list[Outcome], folder: Path) -> list[Path]:
    """Write the tiles of all mistakes, COLUMNS x ROWS to a JPEG; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, len(mistakes), COLUMNS * ROWS):
        tiles = [tile(outcome) for outcome in mistakes[start : start + COLUMNS * ROWS]]
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
        paths.append(folder / f"mistakes{len(paths):02d}.jpg")
        cv2.imwrite(str(paths[-1]), np.vstack(rows))
    return paths


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(prog="python -m train.contact_sheet", description=__doc__)
    parser.add_argument("--data", help="data folder (or set GROUNDER_DATA)")
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--questions", choices=QUESTIONS, default="captions")
    parser.add_argument("--worst", type=int, default=100, help="how many mistakes")
    parser.add_argument("--out", type=Path, default=Path("mistakes"), help="folder of the pictures")
    args = parser.parse_args(argv)
    try:
        asked = QUESTIONS[args.questions](data_root(args.data))
        outcomes = evaluate(bundle_predict(Grounder.load(args.bundle)), asked)
    except (DataError, GroundingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    mistakes = sorted((o for o in outcomes if not o.right), key=lambda o: -o.score)[: args.worst]
    for path in sheets(mistakes, args.out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
