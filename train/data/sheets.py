"""Photos with phrases and boxes drawn, many to a picture: for looking at data and at mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sdk.inputs.frames import as_bgr
from train.data.samples import Box, Photo

TILE, CAPTION, COLUMNS, ROWS = 256, 34, 5, 4
GREEN, RED, WHITE = (80, 220, 80), (60, 60, 255), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Tile:
    """One photo: where the thing is (green), what was found (red), two lines of text."""

    photo: Photo
    lines: tuple[str, str]
    truth: tuple[Box, ...]
    found: tuple[Box, ...] = ()

    def draw(self) -> NDArray[np.uint8]:
        """(CAPTION + TILE, TILE, 3) uint8 BGR; the photo is stretched to the square."""
        photo = np.asarray(cv2.resize(as_bgr(self.photo.path), (TILE, TILE)), np.uint8)
        for boxes, colour in ((self.truth, GREEN), (self.found, RED)):
            for box in boxes:
                x1, y1, x2, y2 = (round(edge * TILE) for edge in box)
                cv2.rectangle(photo, (x1, y1), (x2, y2), colour, 2)
        strip = np.zeros((CAPTION, TILE, 3), np.uint8)
        for row, text in enumerate(self.lines):
            place = (3, 13 + 15 * row)
            cv2.putText(strip, text[:40], place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, WHITE)
        return np.concatenate([strip, photo])


def write_sheets(tiles: Sequence[Tile], folder: Path, name: str) -> list[Path]:
    """COLUMNS x ROWS tiles to a JPEG `<name>00.jpg`, ...; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for start in range(0, len(tiles), COLUMNS * ROWS):
        drawn = [tile.draw() for tile in tiles[start : start + COLUMNS * ROWS]]
        drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % COLUMNS)
        rows = [np.hstack(drawn[i : i + COLUMNS]) for i in range(0, len(drawn), COLUMNS)]
        paths.append(folder / f"{name}{len(paths):02d}.jpg")
        cv2.imwrite(str(paths[-1]), np.vstack(rows))
    return paths
