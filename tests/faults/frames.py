"""Whatever may be taken for a frame: arrays, files, objects of other libraries."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import PIL.Image

from sdk import Grounder
from sdk.inputs.frames import RGB
from tests.faults.case import Case, check_grounding, expect
from tests.tiny_bundle import write_tiny_bundle

DTYPES = (np.uint8, np.int8, np.uint16, np.int64, np.float16, np.float32, np.bool_, np.complex64)
ERRORS = (
    ValueError,
    OSError,
    RuntimeError,
    KeyError,
    AttributeError,
    MemoryError,
    ZeroDivisionError,
)
PIL_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16")


def frames(rng: Random, folder: Path) -> Iterator[Case]:
    """Frames of every kind, most of them none."""
    grounder = Grounder.load(write_tiny_bundle(folder / "bundle"))
    makers = (array, strided, picture_file, special_file, pil_image, stranger, other)
    while True:
        name, frame = rng.choice(makers)(rng, folder)

        def run(frame: Any = frame) -> None:
            pixels = frame if isinstance(frame, np.ndarray) else None
            before = None if pixels is None else pixels.tobytes()
            view = grounder.encode(frame)
            width, height = view.size_wh
            for result in view.ground(["the dog", "a cat"], alternatives=2):
                check_grounding(result, width, height)
            expect(pixels is None or pixels.tobytes() == before, "the frame was written to")

        yield Case(name, run)


def array(rng: Random, _: Path) -> tuple[str, Any]:
    shape = tuple(
        rng.choice([0, 1, 3, 4, 7, 8, 9, 33]) for _ in range(rng.choice([0, 1, 2, 3, 3, 3, 4]))
    )
    if rng.random() < 0.5:
        shape = (rng.randint(1, 60), rng.randint(1, 60), 3)
    made = np.zeros(shape, rng.choice(DTYPES) if rng.random() < 0.5 else np.uint8)
    return f"array {made.shape} {made.dtype}", RGB(made) if rng.random() < 0.2 else made


def strided(rng: Random, _: Path) -> tuple[str, Any]:
    base = np.random.default_rng(rng.randrange(99)).integers(0, 256, (64, 64, 3), np.uint8)
    views: list[Callable[[], Any]] = [
        lambda: base[::-1],
        lambda: base[:, ::-1, ::-1],
        lambda: base[::2, ::3],
        lambda: base.transpose(1, 0, 2),
        lambda: np.broadcast_to(base[:1], (64, 64, 3)),
        lambda: np.broadcast_to(np.uint8(7), (20, 20, 3)),
        lambda: np.lib.stride_tricks.as_strided(base, (40, 40, 3), (3, 3, 1)),
        lambda: np.asfortranarray(base),
        lambda: np.ma.masked_array(base, base > 9),
        lambda: base.view(np.recarray),
    ]
    number = rng.randrange(len(views))
    return f"strides {number}", views[number]()


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG that says to have these sides, whatever `data` holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(data)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def picture_file(rng: Random, folder: Path) -> tuple[str, Any]:
    form = rng.choice(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "claim"])
    if form == "claim":
        sides = [rng.choice([0, 1, 7, 40, 8193, 65_535, 2**31 - 1]) for _ in range(2)]
        data = png(*sides, rng.choice([1, 8, 16]), rng.choice([0, 2, 3, 6, 9]))
    else:
        file = io.BytesIO()
        PIL.Image.new("RGB", (rng.randint(1, 80), rng.randint(1, 80)), "red").save(file, form)
        data = file.getvalue()
    damage = rng.choice(["none", "cut", "flip", "insert", "empty"])
    at = rng.randrange(len(data) + 1)
    if damage == "cut":
        data = data[:at]
    elif damage == "flip":
        flipped = bytearray(data)
        for _ in range(rng.randint(1, 30)):
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        data = bytes(flipped)
    elif damage == "insert":
        data = data[:at] + rng.randbytes(rng.randint(1, 200)) + data[at:]
    elif damage == "empty":
        data = b""
    path = folder / "picture"
    path.write_bytes(data)
    return f"{form} {damage}", path if rng.random() < 0.5 else str(path)


def special_file(rng: Random, folder: Path) -> tuple[str, Any]:
    pipe, large, loop = folder / "pipe.png", folder / "large.png", folder / "loop.png"
    if not pipe.exists():
        os.mkfifo(pipe)
        large.touch()
        os.truncate(large, 40 << 30)
        loop.symlink_to(loop)
    names = [
        pipe,
        large,
        loop,
        folder,
        "/dev/zero",
        "/dev/stdin",
        "",
        "\0",
        "a" * 5000,
        "no\udcffne",
    ]
    name = rng.choice(names)
    return f"file {str(name)[-20:]!r}", name


def pil_image(rng: Random, _: Path) -> tuple[str, Any]:
    mode = rng.choice(PIL_MODES)
    return f"PIL {mode}", PIL.Image.new(mode, (rng.randint(1, 60), rng.randint(1, 60)))


def stranger(rng: Random, _: Path) -> tuple[str, Any]:
    """An object that looks like another library's and fails inside."""
    error, attribute = (
        rng.choice(ERRORS),
        rng.choice(
            ["size", "convert", "__dlpack__", "__dlpack_device__", "__fspath__", "__array__"]
        ),
    )

    def fail(*_: Any, **__: Any) -> Any:
        raise error("inside")

    members: dict[str, Any] = {
        "size": (40, 40),
        "convert": lambda self, mode: rng.choice([None, 3, np.zeros((4, 4, 3), np.uint8), "x"]),
    }
    if attribute.startswith("__dlpack"):
        members |= {"__dlpack__": fail, "__dlpack_device__": lambda self: (1, 0)}
    members[attribute] = property(fail) if rng.random() < 0.3 else fail
    if rng.random() < 0.2:
        members["__repr__"] = fail
    return f"{attribute} raises {error.__name__}", type("Stranger", (), members)()


def other(rng: Random, _: Path) -> tuple[str, Any]:
    values = [
        None,
        0,
        1.5,
        b"",
        [],
        [[1, 2, 3]],
        {},
        (),
        object(),
        type,
        float("nan"),
        memoryview(b"abc"),
    ]
    value = rng.choice(values)
    return f"{type(value).__name__}", value
