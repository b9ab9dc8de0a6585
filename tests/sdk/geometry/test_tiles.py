"""Tiles: together they are the frame, and what is small is whole in one of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.geometry.tiles import LEAST_SIDE, OVERLAP, tiles, window

SIDES = st.integers(16, 4000)
PARTS = st.integers(1, 8)


@pytest.mark.parametrize(("parts", "count"), [(1, 1), (2, 6), (3, 8), (4, 15)])
def test_a_frame_of_a_camera(parts: int, count: int) -> None:
    assert len(tiles((1920, 1080), parts)) == count


@given(SIDES, SIDES, PARTS)
def test_they_are_alike_and_in_the_frame(width: int, height: int, parts: int) -> None:
    found = np.array(tiles((width, height), parts))
    assert len({(right - left, bottom - top) for left, top, right, bottom in found.tolist()}) == 1
    assert (found[:, :2].min(0) == 0).all()
    assert found[:, 2:].max(0).tolist() == [width, height]
    assert len(np.unique(found, axis=0)) == len(found)


@given(SIDES, SIDES, PARTS, st.data())
def test_a_box_of_an_overlap_s_size_is_whole_in_one(
    width: int, height: int, parts: int, data: st.DataObject
) -> None:
    found = tiles((width, height), parts)
    left, top, right, bottom = found[0]
    sides = [max(1, int(OVERLAP * side) - 2) for side in (right - left, bottom - top)]
    x = data.draw(st.integers(0, width - sides[0]))
    y = data.draw(st.integers(0, height - sides[1]))
    assert any(
        tile[0] <= x and x + sides[0] <= tile[2] and tile[1] <= y and y + sides[1] <= tile[3]
        for tile in found
    )


@given(st.data())
def test_a_window_holds_its_box_within_the_frame(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 3000)), data.draw(st.integers(1, 3000))
    left, right = sorted(data.draw(st.tuples(*2 * [st.floats(0, width)])))
    top, bottom = sorted(data.draw(st.tuples(*2 * [st.floats(0, height)])))
    factor = data.draw(st.floats(1.5, 4))
    x0, y0, x1, y1 = window((left, top, right, bottom), factor, (width, height))
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert x0 <= left + 1 and y0 <= top + 1 and right - 1 <= x1 and bottom - 1 <= y1
    side = factor * max(right - left, bottom - top, LEAST_SIDE)
    assert x1 - x0 == min(math.ceil(side), width) and y1 - y0 == min(math.ceil(side), height)


def test_a_window_has_the_box_in_its_middle() -> None:
    assert window((100, 200, 140, 220), 2.0, (1000, 1000)) == (80, 170, 160, 250)
    assert window((0, 0, 40, 20), 2.0, (1000, 1000)) == (0, 0, 80, 80), "moved into the frame"
