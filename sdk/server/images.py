"""A picture's bytes, from anywhere, as a frame."""

import io

import numpy as np
from numpy.typing import NDArray

from sdk.errors import FrameError
from sdk.inputs.frames import as_bgr, check_sides, decoded
from sdk.server.errors import TooLargeError
from sdk.server.limits import Limits
from sdk.server.packages import PIL

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Of all that could be read: few decoders are open to strangers."""
_START_OF_SCAN = b"\xff\xda"


def pixels_of(data: bytes, limits: Limits) -> int:
    """Width times height by the picture's header: a small file may claim, and cost, gigabytes.

    Raises:
        FrameError: the header cannot be read, or a side is too short or too long.
        TooLargeError: there are too many pixels, or too many scans of them.
    """
    try:
        header = _Header(data)
        header.reads_left = limits.header_reads
        with PIL.Image.open(header, formats=FORMATS) as image:
            width, height = image.size
    except PIL.Image.DecompressionBombError as error:
        raise TooLargeError(f"expected a picture of usual size, got: {error}") from error
    except Exception as error:  # its parsers raise whatever the bytes lead them to
        raise _unreadable(data) from error
    pixels: int = width * height
    if pixels > limits.pixels:
        raise TooLargeError(
            f"expected a picture of at most {limits.pixels} pixels, got {width} x {height}; scale "
            "it down, the model looks at far fewer"
        )
    check_sides(width, height)
    # Each pass visits every pixel, and takes a few bytes of the file only.
    if data.startswith(b"\xff\xd8") and (
        data.count(_START_OF_SCAN) * pixels > limits.scans * limits.pixels
    ):
        raise TooLargeError(
            f"expected a JPEG of at most {limits.scans} scans of {limits.pixels} pixels, got more; "
            "save it again as a baseline JPEG"
        )
    return pixels


class _Header(io.BytesIO):
    """Ends after some reads: a file of nothing but empty blocks would be read for minutes."""

    reads_left: int

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        return super().read(size) if self.reads_left >= 0 else b""


def decode(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of an encoded picture, upright by its EXIF orientation.

    The pixels are the ones that `Grounder.ground` reads from a file of these bytes.

    Raises:
        FrameError: it does not decode, or has a size that cannot be used.
    """
    try:
        image = decoded(np.frombuffer(data, np.uint8), "the picture")
    except FrameError:
        raise _unreadable(data) from None
    return as_bgr(image)


def _unreadable(data: bytes) -> FrameError:
    return FrameError(
        f"expected a picture ({', '.join(FORMATS)}), got {len(data)} bytes that cannot be decoded; "
        "send the bytes of the file as they are"
    )
