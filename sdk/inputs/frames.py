"""Whatever a caller may call a frame, as one checked BGR array."""

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import imagesize
import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import as_path, four_numbers, short
from sdk._internal.opencv import cv2
from sdk.errors import FrameError

MIN_SIDE, MAX_SIDE = 8, 8192
"""Pixels. Below, there is nothing to see; above, it is rarely meant, and costs gigabytes."""
HEADER_BYTES = 1 << 22
"""Of a picture's file, in which its size is looked for."""
NETPBM_BYTES = 512
"""The same of a Netpbm file."""
MOST_SHOWN = 200
"""Characters of a path in a message."""
MAX_BYTES = 1 << 28
"""Of a picture's file: more than MAX_SIDE x MAX_SIDE pixels take without compression."""


@runtime_checkable
class PilImage(Protocol):
    """What is used of a `PIL.Image.Image`; Pillow itself is not needed."""

    @property
    def size(self) -> tuple[int, int]: ...
    def convert(self, mode: str) -> Any: ...


class DLPackArray(Protocol):
    """An array of PyTorch, JAX, CuPy or another library that exchanges memory by DLPack."""

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...


@dataclass(frozen=True)
class RGB:
    """Says that an array is RGB, wherever a frame is taken: `grounder.ground(RGB(frame), "a dog")`.

    A wrapper and no flag of `ground`: the order belongs to the picture, so that it need not be
    repeated to `encode`, `draw` and whatever else the picture is given to.
    """

    array: NDArray[np.uint8] | DLPackArray
    """(H, W, 3) uint8."""


FrameLike: TypeAlias = NDArray[np.uint8] | str | os.PathLike[str] | PilImage | DLPackArray | RGB
"""What may be given as a frame: see `as_bgr`."""
Region: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the frame."""

_ON_HOST = {1, 3, 11, 13}
"""DLPack's device types that a CPU can read: its memory, pinned for CUDA or ROCm, CUDA managed."""


def as_bgr(frame: FrameLike) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, its pixels and rows in order, from what a caller may have.

    Args:
        frame: an array, also PyTorch's or another library's on the CPU, is taken as OpenCV gives
            it, BGR, and not copied, nor are its rows when it is a crop; `RGB` says that it is RGB,
            and costs a copy. A file is turned upright by its EXIF orientation; a PIL image is taken
            as it is.

    Raises:
        FrameError: it has the wrong type, shape, dtype or size, or its file cannot be read.
    """
    if isinstance(frame, RGB):
        array = _array(frame.array)
        if array is None:
            raise FrameError(f"expected an array in RGB(...), got {type(frame.array).__name__}")
        _check(array, "RGB")
        return np.ascontiguousarray(array[..., ::-1])
    array = _array(frame)
    if array is not None:
        _check(array, "BGR")
    elif isinstance(frame, (str, os.PathLike)):
        array = _read(frame)
        _check(array, "BGR")
    elif _is_pil(frame):
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
    # What OpenCV reads in place.
    packed = array.strides[1:] == (3, 1) and array.strides[0] >= 3 * array.shape[1]
    return array if packed else np.ascontiguousarray(array)


def crop(frame_bgr: NDArray[np.uint8], region: Region) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The part of a frame within a region.

    Args:
        frame_bgr: (H, W, 3) uint8.
        region: (left, top, right, bottom) in pixels; widened to whole pixels and cut at the frame's
            edges.

    Returns:
        The part, a view, and the (x, y) of its top left corner.

    Raises:
        FrameError: the region is no four finite numbers, empty, outside the frame, or under
            MIN_SIDE pixels.
    """
    expected = "expected a region (left, top, right, bottom) in pixels"
    got = f"got {short(region)}"
    try:
        left, top, right, bottom = four_numbers(region)
    except Exception:  # whatever a stranger's object raises
        raise FrameError(f"{expected}, {got}") from None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise FrameError(f"{expected}, {got}, which is not finite")
    if left >= right or top >= bottom:
        raise FrameError(f"{expected}, {got}, which is empty: right > left, bottom > top")
    height, width = frame_bgr.shape[:2]
    x1, y1 = max(math.floor(left), 0), max(math.floor(top), 0)
    x2, y2 = min(math.ceil(right), width), min(math.ceil(bottom), height)
    if x1 >= x2 or y1 >= y2:
        raise FrameError(
            f"{expected} of a frame of {width} x {height}, {got}, which is outside of it"
        )
    if min(x2 - x1, y2 - y1) < MIN_SIDE:
        raise FrameError(
            f"{expected} with sides of at least {MIN_SIDE}, {got}, of which "
            f"{x2 - x1} x {y2 - y1} are in the frame; it shows nothing, widen it"
        )
    return frame_bgr[y1:y2, x1:x2], (x1, y1)


def _is_pil(frame: object) -> TypeGuard[PilImage]:
    with _foreign(f"a frame, which a {type(frame).__name__} is not"):
        return isinstance(frame, PilImage)


@contextmanager
def _foreign(what: str) -> Iterator[None]:
    """Turns whatever a stranger's object raises into a FrameError."""
    try:
        yield
    except FrameError:
        raise
    except Exception as error:
        raise FrameError(f"expected {what}, got {type(error).__name__}: {error}") from error


def _array(frame: Any) -> NDArray[Any] | None:
    """An array as NumPy's, sharing its memory; None for what is no array. Raises FrameError."""
    if isinstance(frame, np.ndarray):
        return frame
    kind = type(frame).__name__
    with _foreign(f"a (height, width, 3) uint8 array that NumPy can take from a {kind}"):
        device = frame.__dlpack_device__()[0] if hasattr(frame, "__dlpack_device__") else None
        if hasattr(frame, "__cuda_array_interface__") or (device and device not in _ON_HOST):
            raise FrameError(
                f"expected a frame in the CPU's memory, got a {kind} on another device; copy it "
                "first: frame.cpu() (PyTorch), cupy.asnumpy(frame), numpy.asarray(frame) (JAX)"
            )
        return None if device is None else np.from_dlpack(frame)


def _check(array: NDArray[Any], order: str) -> None:
    got = f"got shape {array.shape}, dtype {array.dtype}"
    expected = f"expected a (height, width, 3) uint8 {order} array"
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
        hint = f"for grayscale: cv2.cvtColor(frame, cv2.COLOR_GRAY2{order})"
    elif array.ndim == 3 and array.shape[2] == 4:
        hint = f"for an alpha channel: cv2.cvtColor(frame, cv2.COLOR_{order}A2{order})"
    elif array.ndim == 3 and array.shape[0] == 3 != array.shape[2]:
        hint = "for channels first: frame.transpose(1, 2, 0)"
    elif array.ndim == 4:
        hint = "give the frames one by one"
    else:
        hint = "give one colour picture"
    if array.ndim != 3 or array.shape[2] != 3:
        raise FrameError(f"{expected}, {got}; {hint}")
    check_sides(array.shape[1], array.shape[0])


def check_sides(width: int, height: int) -> None:
    """Check the size of a frame.

    Raises:
        FrameError: a side is not from MIN_SIDE to MAX_SIDE pixels.
    """
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        large = max(width, height) > MAX_SIDE
        advice = "resize it first (cv2.resize)" if large else "it shows nothing"
        raise FrameError(
            f"expected sides of {MIN_SIDE} to {MAX_SIDE} pixels, got {width} x {height}; {advice}"
        )


def _read(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    path = as_path("frame", path, error=FrameError)
    text = str(path)
    shown = repr(text if len(text) <= MOST_SHOWN else f"...{text[-MOST_SHOWN:]}")
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may block for ever
            raise FrameError(
                f"expected the path of a picture, cannot read {shown}: it is no regular file"
            )
        if status.st_size > MAX_BYTES:
            raise FrameError(
                f"expected a picture of at most {MAX_BYTES} bytes, {shown} has {status.st_size}"
            )
        data = np.fromfile(path, np.uint8)  # imread cannot open every path on Windows
    except FrameError:  # a ValueError, too
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = getattr(error, "strerror", None) or error
        raise FrameError(f"expected the path of a picture, cannot read {shown}: {why}") from None
    _check_header(data)
    return decoded(data, shown)


def decoded(data: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of a picture's bytes. Raises FrameError, which tells `name`."""
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:  # a header that claims more pixels than OpenCV will allocate
        raise FrameError(f"OpenCV refuses to decode {name}: {error}") from error
    if image is None:
        raise FrameError(
            f"expected a picture OpenCV can decode (JPEG, PNG, WebP, BMP, TIFF), got {data.size} "
            f"bytes it cannot in {name}"
        )
    return image.astype(np.uint8, copy=False)


def _check_header(data: NDArray[np.uint8]) -> None:
    """Raises FrameError for a picture that is too large by its header.

    A few bytes may claim gigabytes of pixels. What has no header that can be read is left to
    OpenCV.
    """
    # Netpbm's numbers end soon; imagesize would take minutes for long ones.
    head = data[: NETPBM_BYTES if data[:1].tobytes() == b"P" else HEADER_BYTES]
    try:
        width, height = imagesize.get(io.BytesIO(head.tobytes()))
    except Exception:  # its parsers are not made for damaged files
        return
    if width > 0 and height > 0:
        check_sides(width, height)


def _from_pil(image: PilImage) -> NDArray[np.uint8]:
    with _foreign("a PIL image that decodes"):
        width, height = image.size
        check_sides(width, height)
        mode = getattr(image, "mode", "RGB")
        if mode in ("I", "F") or mode.startswith("I;"):
            raise FrameError(
                f"expected a PIL image of 8 bits a channel, got mode {mode!r}, which PIL would cut "
                "off at 255; scale it first"
            )
        rgb: NDArray[np.uint8] = np.asarray(image.convert("RGB"))
        _check(rgb, "RGB")
    return rgb[..., ::-1]
