"""Whatever a caller may call a frame, as one checked BGR array."""

import os
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk._opencv import cv2
from sdk.errors import FrameError

MIN_SIDE, MAX_SIDE = 8, 8192
"""Pixels. Below, there is nothing to see; above, it is rarely meant, and costs gigabytes."""


class PilImage(Protocol):
    """What is used of a `PIL.Image.Image`; Pillow itself is not needed."""

    @property
    def size(self) -> tuple[int, int]: ...
    def convert(self, mode: str) -> Any: ...


FrameLike: TypeAlias = NDArray[np.uint8] | str | os.PathLike[str] | PilImage


def as_bgr(frame: FrameLike) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, C-contiguous, from an array, a picture's path or a PIL image.

    An array is taken as OpenCV gives it, BGR, and not copied. A file is turned upright by its EXIF
    orientation; a PIL image is taken as it is. Raises FrameError.
    """
    if isinstance(frame, np.ndarray):
        array = frame
    elif isinstance(frame, (str, os.PathLike)):
        array = _read(frame)
    elif hasattr(frame, "convert") and hasattr(frame, "size"):
        array = _from_pil(frame)
    elif frame is None:
        raise FrameError(
            "expected a frame, got None: the camera or cv2.imread returned no picture; check the "
            "camera, or the path given to imread"
        )
    else:
        raise FrameError(
            "expected a (height, width, 3) uint8 BGR array, a path or a PIL image, "
            f"got {type(frame).__name__}"
        )
    _check(array)
    return np.ascontiguousarray(array)


def _check(array: NDArray[Any]) -> None:
    got = f"got shape {array.shape}, dtype {array.dtype}"
    expected = "expected a (height, width, 3) uint8 BGR array"
    if array.dtype != np.uint8:
        if array.dtype == np.bool_:
            hint = "a mask is not a picture"
        elif np.issubdtype(array.dtype, np.floating):
            hint = "for values in 0..1: (frame * 255).round().astype(np.uint8)"
        elif array.dtype == np.uint16:
            hint = "for 16-bit values: (frame >> 8).astype(np.uint8)"
        else:
            hint = "for values in 0..255: frame.astype(np.uint8)"
        raise FrameError(f"{expected}, {got}; {hint}")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        hint = "for grayscale: cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)"
    elif array.ndim == 3 and array.shape[2] == 4:
        hint = "for an alpha channel: cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR)"
    elif array.ndim == 3 and array.shape[0] == 3 != array.shape[2]:
        hint = "for channels first: frame.transpose(1, 2, 0)"
    elif array.ndim == 4:
        hint = "give the frames one by one"
    else:
        hint = "give one colour picture"
    if array.ndim != 3 or array.shape[2] != 3:
        raise FrameError(f"{expected}, {got}; {hint}")
    if min(array.shape[:2]) < MIN_SIDE or max(array.shape[:2]) > MAX_SIDE:
        raise _size_error(array.shape[1], array.shape[0])


def _size_error(width: int, height: int) -> FrameError:
    advice = "resize it first (cv2.resize)" if max(width, height) > MAX_SIDE else "it shows nothing"
    return FrameError(
        f"expected sides of {MIN_SIDE} to {MAX_SIDE} pixels, got {width} x {height}; {advice}"
    )


def _read(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    try:
        data = np.fromfile(path, np.uint8)  # imread cannot open every path on Windows
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise FrameError(f"expected the path of a picture, cannot read {path!r}: {error}") from None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:  # a header that claims more pixels than OpenCV will allocate
        raise FrameError(f"OpenCV refuses to decode {str(path)!r}: {error}") from error
    if image is None:
        raise FrameError(
            f"expected a picture OpenCV can decode (JPEG, PNG, WebP, BMP, TIFF), got {data.size} "
            f"bytes it cannot in {str(path)!r}"
        )
    return image.astype(np.uint8, copy=False)


def _from_pil(image: PilImage) -> NDArray[np.uint8]:
    width, height = image.size
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise _size_error(width, height)
    try:
        rgb = np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:  # PIL decodes only now: a truncated file shows here
        raise FrameError(f"expected a PIL image that decodes, got: {error}") from error
    return rgb[..., ::-1]
