"""Tiles: together they are the frame, and what is small is whole in one of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.geometry.tiles import OVERLAP, cut_by, tiles

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


def test_a_box_is_cut_where_its_tile_ends_within_the_frame() -> None:
    tile, size_wh = (0, 100, 300, 400), (1000, 400)
    assert not cut_by((0, 150, 200, 399), tile, size_wh), "the frame ends there, too"
    assert cut_by((50, 101, 200, 300), tile, size_wh)
    assert cut_by((50, 150, 299, 300), tile, size_wh)
    assert not cut_by((50, 150, 250, 300), tile, size_wh)
