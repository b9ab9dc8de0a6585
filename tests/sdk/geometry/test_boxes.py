import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from sdk.geometry.boxes import clip_xyxy, cxcywh_to_xyxy, iou_xyxy, xyxy_to_cxcywh
from train.data.formats import union_xyxy

coordinates = st.floats(-100, 100, width=32)
any_boxes = array_shapes(max_dims=2).flatmap(
    lambda shape: arrays(np.float64, (*shape, 4), elements=coordinates)
)


@st.composite
def boxes_xyxy(draw: st.DrawFn) -> NDArray[np.float64]:
    corners = draw(arrays(np.float64, (draw(st.integers(1, 5)), 2, 2), elements=coordinates))
    return np.sort(corners, axis=1).reshape(-1, 4)


def test_formats_by_hand() -> None:
    assert_array_equal(cxcywh_to_xyxy([5, 10, 4, 6]), [3, 7, 7, 13])
    assert_array_equal(xyxy_to_cxcywh([3, 7, 7, 13]), [5, 10, 4, 6])


@given(any_boxes)
def test_formats_are_inverse(boxes: NDArray[np.float64]) -> None:
    assert_allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes, atol=1e-9)


def test_dtype_is_kept() -> None:
    boxes = np.array([[0, 0, 2, 2]], np.float32)
    for convert in (cxcywh_to_xyxy, xyxy_to_cxcywh, union_xyxy):
        assert convert(boxes).dtype == np.float32
    assert iou_xyxy(boxes, boxes).dtype == clip_xyxy(boxes, (1, 1)).dtype == np.float32


def test_clip() -> None:
    clipped = clip_xyxy([[-5, 2, 30, 40], [25, 3, 50, 9]], (20, 10))
    assert_array_equal(clipped, [[0, 2, 20, 10], [20, 3, 20, 9]])


def test_iou_by_hand() -> None:
    a = [[0, 0, 2, 2], [0, 0, 1, 1]]
    b = [[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]]
    assert_allclose(iou_xyxy(a, b), [[1 / 7, 1, 0], [0, 1 / 4, 0]])


@given(boxes_xyxy(), boxes_xyxy())
def test_iou_is_symmetric_bounded_and_one_with_itself(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> None:
    iou = iou_xyxy(a, b)
    assert iou.shape == (len(a), len(b))
    assert ((iou >= 0) & (iou <= 1 + 1e-12)).all()
    assert_allclose(iou, iou_xyxy(b, a).T, atol=1e-12)
    has_area = (a[:, 2:] - a[:, :2]).prod(axis=1) > 0
    assert_allclose(np.diag(iou_xyxy(a, a)), has_area.astype(float))


def test_inverted_box_overlaps_nothing() -> None:
    assert_array_equal(iou_xyxy([[2, 2, 0, 0]], [[0, 0, 2, 2]]), [[0]])


@given(boxes_xyxy())
def test_union_contains_all_and_is_tight(boxes: NDArray[np.float64]) -> None:
    union = union_xyxy(boxes)
    assert (union[:2] <= boxes[:, :2]).all() and (union[2:] >= boxes[:, 2:]).all()
    assert set(union) <= set(boxes.ravel())


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r"expected boxes of shape \(\.\.\., 4\), got \(2, 3\)"):
        iou_xyxy([[0, 0, 1], [0, 0, 1]], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="at least one box"):
        union_xyxy(np.empty((0, 4)))
