"""What a camera does to a picture: blur, low light, compression, few pixels.

Training draws from these and `train.robustness` measures under them.
"""

from __future__ import annotations

import random

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur; `sigma` in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def darken(image: Image, gain: float, rng: random.Random) -> Image:
    """Low light: `gain` times the light, with the sensor noise that comes with it."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 4, image.shape)
    return np.clip(image * gain + noise, 0, 255).astype(np.uint8)


def compress(image: Image, quality: int) -> Image:
    """A JPEG round trip; `quality` 1-100."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def shrink(image: Image, scale: float) -> Image:
    """`scale` times the width and height."""
    return np.asarray(
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )


def degrade(image: Image, rng: random.Random) -> Image:
    """One of the above, of random strength."""
    kind = rng.randrange(4)
    if kind == 0:
        return blur(image, rng.uniform(0.5, 1.5))
    if kind == 1:
        return darken(image, rng.uniform(0.2, 0.6), rng)
    if kind == 2:
        return compress(image, rng.randint(20, 60))
    return shrink(image, rng.uniform(0.5, 0.95))
