import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from PIL import Image

from sdk.errors import FrameError
from sdk.inputs.frames import MAX_SIDE, RGB, as_bgr, crop
from tests.faults.frames import png


def test_an_opencv_frame_is_taken_as_it_is(frame: NDArray[np.uint8]) -> None:
    assert as_bgr(frame) is frame


def test_a_view_becomes_contiguous(frame: NDArray[np.uint8]) -> None:
    crop = frame[10:60:2, ::-1]
    assert as_bgr(crop).flags.c_contiguous
    assert_array_equal(as_bgr(crop), crop)


def test_a_crop_is_not_copied(frame: NDArray[np.uint8]) -> None:
    part = frame[10:60, 20:90]
    assert as_bgr(part) is part
    small = cv2.resize(part, (16, 16))
    assert_array_equal(small, cv2.resize(part.copy(), (16, 16)))
    for other in (frame[::-1], frame[:, ::2], np.broadcast_to(frame[:1], frame.shape)):
        assert as_bgr(other).flags.c_contiguous
        assert_array_equal(as_bgr(other), other)


def test_an_rgb_array(frame: NDArray[np.uint8]) -> None:
    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    assert_array_equal(as_bgr(RGB(rgb)), frame)
    assert as_bgr(RGB(rgb)).flags.c_contiguous


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("photo.jpg", r"array in RGB\(...\), got str"),
        (np.zeros((20, 20, 4), np.uint8), "uint8 RGB array, .*COLOR_RGBA2RGB"),
        (np.zeros((20, 20), np.uint8), "COLOR_GRAY2RGB"),
        (np.zeros((20, 20, 3), np.float32), "RGB array, .*255"),
    ],
)
def test_bad_rgb_arrays(bad: Any, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        as_bgr(RGB(bad))


def test_a_tensor_on_the_cpu_is_not_copied(frame: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(frame.copy())
    taken = as_bgr(tensor)
    assert taken.ctypes.data == tensor.data_ptr()
    assert_array_equal(taken, frame)
    assert_array_equal(as_bgr(RGB(tensor)), frame[..., ::-1])
    assert_array_equal(cv2.resize(taken, (16, 16)), cv2.resize(frame, (16, 16)))


def test_tensors_that_are_no_frames() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(FrameError, match="transpose"):
        as_bgr(torch.zeros((3, 20, 20), dtype=torch.uint8))
    with pytest.raises(FrameError, match="float32"):
        as_bgr(torch.zeros((20, 20, 3)))
    with pytest.raises(FrameError, match="NumPy can take from a Tensor"):
        as_bgr(torch.zeros((20, 20, 3), dtype=torch.bfloat16))


class OnAnotherDevice:
    """What DLPack asks of an array on a CUDA device before it hands over any memory."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("must not be asked for its memory")


class CudaArray:
    """As Numba's arrays on a CUDA device, which know no DLPack."""

    def __init__(self) -> None:
        self.__cuda_array_interface__ = {"shape": (20, 20, 3), "typestr": "|u1", "version": 3}


@pytest.mark.parametrize("array", [OnAnotherDevice(), CudaArray()])
def test_an_array_on_another_device_is_told_to_come_over(array: Any) -> None:
    for frame in (array, RGB(array)):
        with pytest.raises(FrameError, match=r"CPU's memory, got .*copy it first: frame\.cpu\(\)"):
            as_bgr(frame)


@pytest.mark.gpu
def test_a_cuda_tensor(frame: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    tensor = torch.from_numpy(frame).cuda()
    with pytest.raises(FrameError, match=r"frame\.cpu\(\)"):
        as_bgr(tensor)
    assert_array_equal(as_bgr(tensor.cpu()), frame)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path(tmp_path: Path, frame: NDArray[np.uint8], kind: type) -> None:
    path = tmp_path / "pictüre.png"
    path.write_bytes(cv2.imencode(".png", frame)[1].tobytes())
    assert_array_equal(as_bgr(kind(path)), frame)


@pytest.mark.parametrize("colour", [cv2.COLOR_BGR2GRAY, cv2.COLOR_BGR2BGRA])
def test_a_file_without_three_channels(
    tmp_path: Path, frame: NDArray[np.uint8], colour: int
) -> None:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), cv2.cvtColor(frame, colour))
    assert as_bgr(path).shape == frame.shape


def test_a_file_is_turned_upright(tmp_path: Path, frame: NDArray[np.uint8]) -> None:
    """EXIF orientation 6: the camera was held so that the picture must be turned clockwise."""
    path = tmp_path / "phone.jpg"
    image = Image.fromarray(frame[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif, quality=100, subsampling=0)
    upright = cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE)
    assert as_bgr(path).shape == upright.shape
    assert np.abs(as_bgr(path).astype(int) - upright).mean() < 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_pil_image(frame: NDArray[np.uint8], mode: str) -> None:
    image = Image.fromarray(frame[..., ::-1]).convert(mode)
    assert_array_equal(as_bgr(image)[..., ::-1], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "got None: the camera"),
        (7, "got int"),
        ([[1, 2], [3, 4]], "got list"),
        (np.zeros((20, 20, 3)), r"dtype float64; .*frame \* 255"),
        (np.zeros((20, 20, 3), np.uint16), r"uint16; .*frame >> 8"),
        (np.zeros((20, 20, 3), np.int64), r"int64; .*astype"),
        (np.zeros((20, 20, 3), bool), "bool; a mask"),
        (np.zeros((20, 20, 3), object), "dtype object"),
        (np.zeros((20, 20), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((20, 20, 1), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((20, 20, 4), np.uint8), "COLOR_BGRA2BGR"),
        (np.zeros((20, 20, 2), np.uint8), "one colour picture"),
        (np.zeros((3, 20, 20), np.uint8), "transpose"),
        (np.zeros((1, 20, 20, 3), np.uint8), "one by one"),
        (np.zeros((0, 0, 3), np.uint8), "got 0 x 0"),
        (np.zeros((20, 7, 3), np.uint8), "expected sides of 8 to 8192 pixels, got 7 x 20"),
        (np.zeros((MAX_SIDE + 1, 8, 3), np.uint8), "8193; resize it first"),
        (Image.new("RGB", (MAX_SIDE + 1, 8)), "8193 x 8; resize it first"),
        ("", "cannot read"),
        ("no/such/file.jpg", "cannot read 'no/such/file.jpg'"),
        ("nul\0byte.jpg", "cannot read"),
        (".", "cannot read"),
    ],
)
def test_bad_frames(bad: Any, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        as_bgr(bad)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\xff\xd8\xff\xe0 nothing follows"])
def test_a_file_that_is_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(FrameError, match=f"got {len(content)} bytes"):
        as_bgr(path)


def test_a_file_that_claims_to_be_enormous(tmp_path: Path) -> None:
    header = b"P6\n60000 60000\n255\n"
    (tmp_path / "bomb.ppm").write_bytes(header)
    with pytest.raises(FrameError):
        as_bgr(tmp_path / "bomb.ppm")


def test_a_truncated_pil_image(frame: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    image = Image.open(io.BytesIO(file.getvalue()[:200]))
    with pytest.raises(FrameError, match="PIL image that decodes"):
        as_bgr(image)


def test_only_regular_files_of_usual_size_are_read(tmp_path: Path) -> None:
    pipe, sparse = tmp_path / "pipe.png", tmp_path / "sparse.png"
    os.mkfifo(pipe)
    sparse.touch()
    os.truncate(sparse, 40 << 30)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(FrameError, match="no regular file"):
            as_bgr(path)
    with pytest.raises(FrameError, match="at most 268435456 bytes"):
        as_bgr(sparse)


def test_a_netpbm_number_of_many_digits_is_not_read_for_minutes(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 40 + ".ppm")
    path.write_bytes(b"P6\n" + b"9" * 4_000_000)
    with pytest.raises(FrameError) as refused:
        as_bgr(path)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("sides", [(60_000, 60_000), (9000, 20), (4, 40)])
def test_a_picture_is_refused_by_its_header(tmp_path: Path, sides: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(png(*sides))  # with no pixels behind it
    with pytest.raises(FrameError, match=f"got {sides[0]} x {sides[1]}"):
        as_bgr(tmp_path / "bomb.png")


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_a_pil_image_of_more_than_8_bits_is_refused(mode: str) -> None:
    with pytest.raises(FrameError, match=f"got mode '{mode}'"):
        as_bgr(Image.new(mode, (20, 20)))


@pytest.mark.parametrize("attribute", ["size", "convert", "__dlpack_device__", "__fspath__"])
def test_what_fails_inside_a_strangers_object_is_a_frame_error(attribute: str) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("inside")

    members = {"size": (20, 20), "convert": fail, attribute: property(fail)}
    with pytest.raises(FrameError):
        as_bgr(type("Stranger", (), members)())


@pytest.mark.parametrize("edge", [10**400, "x", None, float("nan")])
def test_a_region_of_what_is_no_number(frame: NDArray[np.uint8], edge: Any) -> None:
    with pytest.raises(FrameError, match=r"expected a region .*got \(0, 0, "):
        crop(frame, (0, 0, edge, 30))
