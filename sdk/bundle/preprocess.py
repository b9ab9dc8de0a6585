"""From a camera frame to the vision graph's input, and from its boxes back to the frame.

Training, export and runtime all use this class; its numbers travel in the bundle's manifest.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdk._internal.opencv import cv2
from sdk.geometry.boxes import clip_xyxy, cxcywh_to_xyxy, xyxy_to_cxcywh


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """Stretch the frame to `width` x `height`, then normalise each channel.

    Stretched and not letterboxed: no pixel of a small input is spent on padding, and a box keeps
    its fractions. `mean` and `std` are in RGB order on the 0-255 scale.

    Raises:
        ValueError: a size or a `std` is not positive.
    """

    width: int
    height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected a positive size, got {getattr(self, name)}")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ValueError(f"std: expected positive numbers, got {self.std}")

    def tensor(self, frame_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 BGR -> (1, 3, height, width) float32 RGB, normalised, C-contiguous."""
        height, width = frame_bgr.shape[:2]
        shrinks = self.width <= width and self.height <= height
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(frame_bgr, (self.width, self.height), interpolation=interpolation)
        planes = resized[..., ::-1].transpose(2, 0, 1)  # (3, height, width) RGB
        mean = np.array(self.mean, np.float32).reshape(3, 1, 1)
        std = np.array(self.std, np.float32).reshape(3, 1, 1)
        tensor = np.empty((1, *planes.shape), np.float32)
        np.subtract(planes, mean, out=tensor[0])
        np.divide(tensor[0], std, out=tensor[0])
        return tensor

    def box_to_frame(
        self, boxes_cxcywh: ArrayLike, frame_size_wh: tuple[int, int]
    ) -> NDArray[np.float32]:
        """(..., 4) cxcywh fractions of the network input -> (..., 4) float32 xyxy frame pixels.

        The result is clipped to the frame. The left edge of the first pixel is 0, the right edge
        of the last one is the frame's width.
        """
        edges = cxcywh_to_xyxy(boxes_cxcywh) * np.array(frame_size_wh * 2, np.float64)
        return clip_xyxy(edges, frame_size_wh).astype(np.float32)

    def box_from_frame(
        self, boxes_xyxy: ArrayLike, frame_size_wh: tuple[int, int]
    ) -> NDArray[np.float32]:
        """(..., 4) xyxy frame pixels -> (..., 4) float32 cxcywh fractions of the network input."""
        fractions = np.asarray(boxes_xyxy, np.float64) / np.array(frame_size_wh * 2, np.float64)
        return xyxy_to_cxcywh(fractions).astype(np.float32)
