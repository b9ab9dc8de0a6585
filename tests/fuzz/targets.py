"""The three parsers of foreign bytes, each as one function of bytes.

A target returns, or raises Wrong or an error that is nobody's: that is what a fuzzer looks for.
Each comes with valid inputs to start from.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
from starlette.testclient import TestClient

from sdk import Grounder, GroundingError
from sdk.bundle.manifest import MANIFEST_NAME, Manifest
from sdk.errors import BundleError, FrameError
from sdk.inputs.frames import MAX_SIDE, MIN_SIDE, as_bgr
from sdk.server import Limits, create_app
from sdk.server.images import FORMATS, decode, pixels_of
from tests.faults.case import expect
from tests.tiny_bundle import write_tiny_bundle

Target = Callable[[bytes], None]
BOUNDARY = "fuzz"
TYPES = (
    f"multipart/form-data; boundary={BOUNDARY}",
    "application/x-www-form-urlencoded",
    "application/json",
)


@contextmanager
def manifest() -> Iterator[tuple[Target, list[bytes]]]:
    """`manifest.json`: refused by BundleError, or the same again after it was saved."""
    with tempfile.TemporaryDirectory() as name:
        bundle = write_tiny_bundle(Path(name) / "bundle")
        seed = (bundle / MANIFEST_NAME).read_bytes()

        def target(data: bytes) -> None:
            (bundle / MANIFEST_NAME).write_bytes(data)
            try:
                loaded = Manifest.load(bundle)
            except BundleError:
                return
            loaded.save(bundle)
            expect(Manifest.load(bundle) == loaded, "another manifest after saving")

        yield target, [seed]


@contextmanager
def form() -> Iterator[tuple[Target, list[bytes]]]:
    """The body of `POST /v1/ground`: the first byte says of which type, JSON answers below 500."""
    parts = [("image", picture("PNG")), ("phrases", b"the dog"), ("region", b"1,2,30,20")]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\n'
    plain = head.replace('; filename="a"', "")
    sent = [((head if k == "image" else plain) % k).encode() + v + b"\r\n" for k, v in parts]
    seeds = [
        b"\0" + b"".join(sent) + f"--{BOUNDARY}--\r\n".encode(),
        b"\1phrases=the+dog&alternatives=2&image=%89PNG",
        b'\2{"image": "iVBORw0KGgo=", "phrases": ["a cat"], "region": [0, 1, 2.5, 3e1]}',
    ]
    with tempfile.TemporaryDirectory() as name:
        app = create_app(Grounder.load(write_tiny_bundle(Path(name) / "bundle"), threads=1))
        with TestClient(app, base_url="http://127.0.0.1") as client:

            def target(data: bytes) -> None:
                kind = TYPES[data[0] % len(TYPES)] if data else TYPES[0]
                headers = {"content-type": kind}
                answer = client.post("/v1/ground", content=data[1:], headers=headers)
                expect(answer.status_code < 500, f"status {answer.status_code}: {answer.text}")
                answer.json()

            yield target, seeds


@contextmanager
def frames() -> Iterator[tuple[Target, list[bytes]]]:
    """A picture's bytes, as a file and as the server gets them: FrameError, or the same pixels."""
    limits = Limits()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "picture"

        def target(data: bytes) -> None:
            file.write_bytes(data)
            try:
                frame = as_bgr(file)
            except FrameError:
                frame = None
            else:
                sides = frame.shape[:2]
                expect(min(sides) >= MIN_SIDE and max(sides) <= MAX_SIDE, f"sides {sides}")
            try:
                pixels = pixels_of(data, limits)
                sent = decode(data)
            except GroundingError:
                return
            expect(sent.size // 3 <= pixels, f"{sent.shape} of {pixels} pixels")
            expect(frame is not None and bool((frame == sent).all()), "not the file's pixels")

        yield target, [picture(kind) for kind in (*FORMATS, "TIFF", "GIF", "PPM")]


def picture(kind: str) -> bytes:
    """A small one, encoded."""
    file = io.BytesIO()
    PIL.Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(file, kind)
    return file.getvalue()


TARGETS = {"manifest": manifest, "form": form, "frames": frames}
