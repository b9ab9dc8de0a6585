"""From feature maps to cells: the tokens of one square grid, on which side networks meet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_cells(feature: Tensor, side: int) -> Tensor:
    """A square map (B, C, h, h) -> cells (B, N, C) of a grid with `side` cells a side.

    A map twice as fine gives each cell its 2x2 patch, (B, N, 4 C), row by row: its detail is kept.
    One half as fine gives N / 4 cells, see `lifted`.
    """
    cells = feature.flatten(2).transpose(1, 2)
    if feature.shape[-1] == 2 * side:
        # Rows are picked: a transpose of six axes takes ONNX Runtime ten times as long.
        patches = torch.arange(4 * side**2, device=feature.device).view(side, 2, side, 2)
        order = patches.transpose(1, 2).flatten()
        return cells.index_select(1, order).unflatten(1, (-1, 4)).flatten(2)
    if feature.shape[-1] not in (side, side // 2):
        raise ValueError(f"cannot bring a map of {feature.shape[-1]} cells to {side} cells a side")
    return cells


def lifted(cells: Tensor, count: int) -> Tensor:
    """(B, N, C) -> (B, count, C): where that is four times as many, each cell stands in four."""
    if cells.shape[1] == count:
        return cells
    side = round(cells.shape[1] ** 0.5)
    blocks = cells.unflatten(1, (side, 1, side, 1)).expand(-1, -1, 2, -1, 2, -1)
    return blocks.flatten(1, 4)


def on_one_grid(taps: Sequence[Tensor]) -> list[Tensor]:
    """Taps (B, N or N / 4, C_l) with N cells each."""
    count = max(tap.shape[1] for tap in taps)
    return [lifted(tap, count) for tap in taps]
