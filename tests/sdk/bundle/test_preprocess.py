import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from sdk.bundle.preprocess import Preprocess
from sdk.bundle.schema import decode

PREPROCESS = Preprocess(48, 32, (10.0, 20.0, 30.0), (2.0, 4.0, 5.0))
IDENTITY = Preprocess(48, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_tensor_is_rgb_normalised_contiguous() -> None:
    blue, green, red = 200, 100, 50
    frame = np.full((64, 90, 3), (blue, green, red), np.uint8)
    tensor = PREPROCESS.tensor(frame)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 32, 48), np.float32)
    assert tensor.flags.c_contiguous
    expected = [(50 - 10) / 2, (100 - 20) / 4, (200 - 30) / 5]
    assert_array_equal(tensor[0], np.broadcast_to(np.reshape(expected, (3, 1, 1)), (3, 32, 48)))


def test_a_frame_of_the_right_size_keeps_its_pixels(frame: NDArray[np.uint8]) -> None:
    small = frame[:32, :48]
    assert_array_equal(IDENTITY.tensor(small)[0], small[..., ::-1].transpose(2, 0, 1))


def test_shrinking_averages_every_pixel() -> None:
    """Bilinear sampling at a quarter of the size would skip most of the stripes."""
    frame = np.zeros((32 * 4, 48 * 4, 3), np.uint8)
    frame[:, ::4] = 200
    assert_array_equal(IDENTITY.tensor(frame), np.full((1, 3, 32, 48), 50, np.float32))


def test_growing_interpolates() -> None:
    ramp = np.broadcast_to(np.arange(0, 240, 10, np.uint8)[None, :, None], (16, 24, 3))
    row = IDENTITY.tensor(np.ascontiguousarray(ramp))[0, 0, 0]
    assert ((np.diff(row) >= 0) & (np.diff(row) <= 5)).all()  # INTER_AREA would repeat pixels
    assert len(set(row[1:-1])) == 46


@pytest.mark.parametrize("shape", [(16, 96), (64, 24)])
def test_growing_one_side_interpolates(shape: tuple[int, int]) -> None:
    """INTER_AREA is only an average when it shrinks: growing, it repeats pixels."""
    height, width = shape
    ramps = np.indices(shape).astype(np.float64).transpose(1, 2, 0) * [200 / height, 200 / width]
    frame = np.concatenate([ramps, ramps[..., :1]], axis=-1).astype(np.uint8)
    vertical, horizontal = IDENTITY.tensor(frame)[0, 0, :, 24], IDENTITY.tensor(frame)[0, 1, 16]
    assert len(set(vertical[1:-1])) == 30
    assert len(set(horizontal[1:-1])) == 46


@pytest.mark.parametrize("size_wh", [(200, 120), (31, 77), (96, 16)])
def test_an_object_lands_where_its_box_says(size_wh: tuple[int, int]) -> None:
    """The pixel mapping and the box mapping agree, for any aspect ratio."""
    width, height = size_wh
    frame = np.zeros((height, width, 3), np.uint8)
    box = np.array([width // 4, height // 2, width // 2, height], np.float32)
    left, top, right, bottom = box.astype(int)
    frame[top:bottom, left:right] = 255
    weight = IDENTITY.tensor(frame)[0, 0].astype(np.float64)
    x_mean = (weight.sum(axis=0) @ (np.arange(48) + 0.5)) / weight.sum() / 48
    y_mean = (weight.sum(axis=1) @ (np.arange(32) + 0.5)) / weight.sum() / 32
    area = weight.mean() / 255
    cx, cy, w, h = IDENTITY.box_from_frame(box, size_wh)
    assert_allclose([x_mean, y_mean, area], [cx, cy, w * h], atol=0.02)


@given(
    st.tuples(st.integers(8, 8192), st.integers(8, 8192)),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=3),
)
def test_box_mappings_are_inverse(
    size_wh: tuple[int, int], corners: list[tuple[float, float, float, float]]
) -> None:
    edges = np.sort(np.array(corners).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    boxes = (edges * np.array(size_wh * 2)).astype(np.float32)
    back = PREPROCESS.box_to_frame(PREPROCESS.box_from_frame(boxes, size_wh), size_wh)
    assert back.dtype == np.float32
    assert_allclose(back, boxes, atol=max(size_wh) * 1e-6)


def test_boxes_are_clipped_to_the_frame() -> None:
    assert_array_equal(
        PREPROCESS.box_to_frame([[0.5, 0.5, 2.0, 0.5], [0.0, 1.0, 0.2, 0.2]], (100, 50)),
        np.array([[0, 12.5, 100, 37.5], [0, 45, 10, 50]], np.float32),
    )


def test_json_round_trip() -> None:
    assert decode(Preprocess, json.loads(json.dumps(asdict(PREPROCESS)))) == PREPROCESS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width: expected a positive size, got 0"),
        ({"width": 4.5}, "width: expected int, got 4.5"),
        ({"std": (1, 0, 1)}, "std: expected positive numbers"),
        ({"mean": (1, 2)}, "mean: expected 3 items"),
        ({"mean": (1, 2, "x")}, "mean.2: expected a finite number, got 'x'"),
        ({"letterbox": True}, "letterbox: unknown key"),
    ],
)
def test_bad_dictionaries(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(Preprocess, {**asdict(PREPROCESS), **change})
