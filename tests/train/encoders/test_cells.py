"""From maps to cells: nothing is lost of a finer map, a coarser one is repeated."""

import pytest
import torch
from torch.nn import functional as F

from train.encoders.cells import lifted, on_one_grid, to_cells

SIDE, CHANNELS = 4, 3


def a_map(side: int) -> torch.Tensor:
    return torch.randn(2, CHANNELS, side, side, generator=torch.Generator().manual_seed(side))


def test_a_finer_map_gives_each_cell_its_patch_row_by_row() -> None:
    fine = a_map(2 * SIDE)
    cells = to_cells(fine, SIDE)
    assert cells.shape == (2, SIDE**2, 4 * CHANNELS)
    patch = cells[1, 2 * SIDE + 3].view(2, 2, CHANNELS)  # of the cell in row 2, column 3
    torch.testing.assert_close(patch, fine[1, :, 4:6, 6:8].permute(1, 2, 0))


def test_a_coarser_map_is_repeated_where_it_is_lifted() -> None:
    coarse, same = a_map(SIDE // 2), a_map(SIDE)
    wanted = F.interpolate(coarse, scale_factor=2.0).flatten(2).transpose(1, 2)
    cells = to_cells(coarse, SIDE)
    assert cells.shape[1] == SIDE**2 // 4
    torch.testing.assert_close(lifted(cells, SIDE**2), wanted)
    both = on_one_grid([cells, to_cells(same, SIDE)])
    torch.testing.assert_close(both[0], wanted)
    torch.testing.assert_close(both[1], same.flatten(2).transpose(1, 2))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot bring a map of 7 cells to 4 cells a side"):
        to_cells(a_map(7), SIDE)
