"""Videos that were written, frame by frame."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def read_video(path: Path) -> list[NDArray[np.uint8]]:
    """All frames, each (H, W, 3) uint8 BGR."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        got, frame = capture.read()
        if not got:
            return frames
        frames.append(np.asarray(frame, np.uint8))
