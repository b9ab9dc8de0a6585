"""An annotated video, written frame by frame."""

import os
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk._internal.closing import Closing
from sdk._internal.opencv import cv2
from sdk.errors import GroundingError

# Codecs that OpenCV's own wheels can write; they cannot write H.264.
_CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}


class VideoFile(Closing):
    """A video file that appears under its name when it is complete.

    Until then it is a hidden file in the same folder. Whatever ends the `with` block, the frames
    written so far become a playable file; without a frame there is no file.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, size_wh: tuple[int, int]) -> None:
        """`size_wh`: width and height of the video. Raises GroundingError."""
        self._path = Path(path)
        self._partial = partial_name(self._path)
        self._size_wh = size_wh
        self.frames = 0
        """Frames written so far."""
        codec = _CODECS.get(self._path.suffix.lower())
        if codec is None:
            raise GroundingError(
                f"expected a video name ending with {', '.join(_CODECS)}, got {str(path)!r}"
            )
        if not self._path.parent.is_dir():
            raise GroundingError(f"cannot write {str(path)!r}: its folder does not exist")
        fourcc = cv2.VideoWriter.fourcc(*codec)
        self._writer = cv2.VideoWriter(str(self._partial), fourcc, fps, size_wh)
        if not self._writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise GroundingError(
                f"cannot write {str(path)!r}: OpenCV cannot open it as a {codec} video; check that "
                "the folder is writable, or try another ending: " + ", ".join(_CODECS)
            )

    def write(self, image: NDArray[np.uint8], copies: int = 1) -> None:
        """Append a (H, W, 3) uint8 BGR image, fitted into the video's size with black borders."""
        fitted = _fit(image, self._size_wh)  # VideoWriter ignores frames of another size in silence
        for _ in range(copies):
            self._writer.write(fitted)
        self.frames += copies

    def close(self) -> None:
        """Finish the file. Raises GroundingError when it did not arrive on the disk."""
        self._writer.release()
        if not self.frames:
            self._partial.unlink(missing_ok=True)
        elif not self._arrived():
            self._partial.unlink(missing_ok=True)
            raise GroundingError(f"cannot write {str(self._path)!r}: is the disk full?")
        else:
            os.replace(self._partial, self._path)

    def _arrived(self) -> bool:
        """Whether the file plays: OpenCV's writer says nothing of a full disk."""
        capture = cv2.VideoCapture(str(self._partial))
        plays, _ = capture.read()
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)  # some containers know it to a frame
        capture.release()
        return plays and announced >= 0.9 * self.frames - 1


def partial_name(path: Path) -> Path:
    """A hidden name in the same folder, with the same ending, for what is being written."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")


def _fit(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = size_wh
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    inner_w = min(width, max(1, round(image.shape[1] * scale)))
    inner_h = min(height, max(1, round(image.shape[0] * scale)))
    left, top = (width - inner_w) // 2, (height - inner_h) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner_h, left : left + inner_w] = cv2.resize(
        image, (inner_w, inner_h), interpolation=interpolation
    )
    return canvas
