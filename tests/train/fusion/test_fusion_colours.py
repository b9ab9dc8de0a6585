"""Colours of cells and boxes: read off the pixels, told where a phrase names them."""

import numpy as np
import torch
from torch import nn

from sdk.bundle.contract import COLOURS
from train.build import preprocess_for
from train.config import TrainConfig
from train.data.colours import NAMES
from train.encoders.vision import CompactVision
from train.fusion.colours import NamedColours
from train.fusion.layers import cells_within

DIM, GRID = 16, 4
RED, BLUE = NAMES.index("red"), NAMES.index("blue")


@torch.no_grad()
def test_the_encoder_gives_the_colours_of_the_frame() -> None:
    frame = np.full((90, 120, 3), (30, 20, 220), np.uint8)  # BGR
    frame[:, 60:] = (200, 60, 30)
    image = torch.from_numpy(preprocess_for(TrainConfig(image_size=64)).tensor(frame))
    shares = CompactVision.colours(CompactVision().features(image))
    assert shares.shape == (1, GRID**2, COLOURS)
    grid = shares.unflatten(1, (GRID, GRID))[0]
    assert (grid[:, :2, RED] == 1).all() and (grid[:, 2:, BLUE] == 1).all()
    assert torch.equal(shares.sum(-1), torch.ones(1, GRID**2))


@torch.no_grad()
def test_cells_are_told_of_the_colour_that_is_named_and_of_no_other() -> None:
    torch.manual_seed(0)
    module = NamedColours(DIM)
    nn.init.normal_(module.tell[-1].weight)
    words, mask = torch.eye(COLOURS)[[RED, BLUE]][None], torch.tensor([[True, False]])
    painted = torch.zeros(1, GRID**2, COLOURS)
    painted[0, 5, RED], painted[0, 6, BLUE] = 0.75, 1.0
    hits = module(painted, words, mask)
    assert hits.asked.tolist() == [[1.0]]
    assert hits.shares[0, 5] == 0.75 and hits.shares.sum() == 0.75
    differs = (hits.told - hits.told[:, :1]).abs().amax(-1)[0] > 1e-2
    assert differs.nonzero().flatten().tolist() == [5]


def test_at_the_start_nothing_is_told() -> None:
    module = NamedColours(DIM)
    mask, words = torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 3, COLOURS)
    assert not module(torch.rand(1, 9, COLOURS), words, mask).told.any()


def test_a_box_has_the_share_of_its_middle() -> None:
    shares = torch.zeros(1, 20, 20)
    shares[:, 4:16, :10] = 1.0  # rows are y: the left half, neither top nor bottom
    ticks = (torch.arange(20) + 0.5) / 20
    boxes = torch.tensor([[[0.25, 0.5, 0.4, 0.4], [0.75, 0.5, 0.4, 0.4], [0.5, 0.5, 0.6, 0.2]]])
    left, right, both = (cells_within(boxes, ticks) @ shares.flatten(1)[..., None])[
        0, :, 0
    ].tolist()
    assert left > 0.95 and right < 0.05 and 0.4 < both < 0.6
    point = torch.tensor([[[0.225, 0.225, 0.0, 0.0]]])
    one = torch.zeros(1, 20, 20)
    one[0, 4, 4] = 1.0
    assert cells_within(point, ticks) @ one.flatten(1)[0] > 0.7
