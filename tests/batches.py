"""What tests of `grounder batch` share: a lake of files, small parts, the rows of a result."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sdk.batch import plan
from sdk.batch.worker import Model
from sdk.bundle import DEFAULT_BUNDLE
from tests.paths import ROOT

ASSETS = ROOT / "apps" / "assets"
MODEL = Model(bundle=DEFAULT_BUNDLE, device="cpu", precision="auto", threads=1, engines=None)
PHRASES = ["the cat", "a man"]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PICTURES_PER_PART", 2)
    monkeypatch.setattr(plan, "FRAMES_PER_PART", 8)


def save_video(path: Path, frames: int) -> None:
    """25 frames a second; in each one, a photo is moved by another two pixels."""
    photo = cv2.resize(cv2.imread(str(ASSETS / "cat.jpg")), (160, 120))
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (160, 120))
    for number in range(frames):
        writer.write(np.roll(photo, 2 * number, axis=1))
    writer.release()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three photos, one of them in a deeper folder, a picture that is none, and two videos."""
    folder = tmp_path / "lake"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(ASSETS / "cat.jpg", folder / "10.jpg")
    shutil.copy(ASSETS / "stairs.jpg", folder / "2.jpg")
    shutil.copy(ASSETS / "moose.jpg", folder / "deep" / "1.JPG")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "notes.md").write_text("neither")
    save_video(folder / "walk.mp4", 30)
    (folder / "broken.mov").write_bytes(b"no video")
    return folder


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows
