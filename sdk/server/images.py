"""A picture's bytes, from anywhere, as a frame."""

import io

import numpy as np
from numpy.typing import NDArray

from sdk._internal.opencv import cv2
from sdk.errors import FrameError
from sdk.inputs.frames import as_bgr
from sdk.server.errors import TooLargeError
from sdk.server.packages import PIL

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Of all that could be read: few decoders are open to strangers."""


def decode(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of an encoded picture, upright by its EXIF orientation.

    The header is read first: a small file may claim, and cost, gigabytes. The pixels are the ones
    that `Grounder.ground` reads from a file of these bytes.

    Raises FrameError, TooLargeError.
    """
    width, height = _size_wh(data)
    if width * height > max_pixels:
        raise TooLargeError(
            f"expected a picture of at most {max_pixels} pixels, got {width} x {height}; scale it "
            "down, the model looks at far fewer"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise _unreadable(data)
    return as_bgr(image.astype(np.uint8, copy=False))


def _size_wh(data: bytes) -> tuple[int, int]:
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            return width, height
    except PIL.Image.DecompressionBombError as error:
        raise TooLargeError(f"expected a picture of usual size, got: {error}") from error
    except Exception as error:  # its parsers raise whatever the bytes lead them to
        raise _unreadable(data) from error


def _unreadable(data: bytes) -> FrameError:
    return FrameError(
        f"expected a picture ({', '.join(FORMATS)}), got {len(data)} bytes that cannot be decoded; "
        "send the bytes of the file as they are"
    )
