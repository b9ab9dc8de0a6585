"""A tiny checkpoint, the bundle that `build_engine` makes of it, and what both were made of."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from export import pipeline
from export.build_engine import main
from sdk.bundle.contract import GRAPHS
from tests.tiny import tiny_checkpoint, tiny_data


@dataclass(frozen=True)
class Built:
    """A finished bundle, and all it was built from."""

    checkpoint: Path
    data: Path
    vocab: Path
    bundle: Path

    def flags(self, out: Path, *more: str) -> list[str]:
        inputs = {"checkpoint": self.checkpoint, "data": self.data, "vocab": self.vocab, "out": out}
        return [*(f"--{name}={path}" for name, path in inputs.items()), *more]


LABELS = ("--name=tiny", "--licence=CC0", "--training-data=drawn boxes")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    built = Built(
        tiny_checkpoint(folder),
        tiny_data(folder, own=True),
        folder / "text-encoder" / "vocab.txt",
        folder / "bundle",
    )
    assert main(built.flags(built.bundle, "--text-precision=fp32", *LABELS)) == 0
    return built


@pytest.fixture
def drawn() -> NDArray[np.uint8]:
    """(90, 120, 3) uint8 BGR."""
    frame = np.random.default_rng(3).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    return cv2.GaussianBlur(frame, (0, 0), 4)


@pytest.fixture
def exports_of(built: Built, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the next build take the FP32 graphs of `built`, changed, and not trace them again."""

    def install(change: Callable[[Path], None]) -> None:
        def copies(model: object, config: object, folder: Path) -> dict[str, Path]:
            files = {g.name: folder / f"{g.name}.fp32.onnx" for g in GRAPHS}
            for path in files.values():
                shutil.copyfile(built.bundle / path.name, path)
                change(path)
            return files

        monkeypatch.setattr(pipeline, "export_graphs", copies)

    return install
