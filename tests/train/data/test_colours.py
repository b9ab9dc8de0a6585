"""Colours of labelled objects: named when clear, from the object's own pixels, else not at all."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.data.colours import NAMES, alike, clear_colour, pixel_colours

WHOLE = (0.0, 0.0, 1.0, 1.0)
# RGB values of CSS or of common colour tables, in the middle of what the name means.
PURE = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "brown": (101, 67, 33),
    "red": (220, 20, 30),
    "orange": (255, 140, 0),
    "yellow": (255, 225, 0),
    "green": (34, 139, 34),
    "blue": (30, 60, 200),
    "purple": (120, 30, 200),
    "pink": (255, 105, 180),
}


def painted(name: str, height: int = 40, width: int = 60) -> np.ndarray:
    """A BGR picture of one colour."""
    return np.full((height, width, 3), PURE[name][::-1], np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_colour_has_its_name(name: str) -> None:
    assert clear_colour(painted(name), WHOLE) == name


def test_red_is_red_at_both_ends_of_the_hues() -> None:
    for rgb in ((220, 20, 10), (220, 10, 40)):
        assert clear_colour(np.full((9, 9, 3), rgb[::-1], np.uint8), WHOLE) == "red"


def test_what_has_no_hue_goes_from_black_over_grey_to_white() -> None:
    names = [clear_colour(np.full((9, 9, 3), value, np.uint8), WHOLE) for value in range(256)]
    assert names == sorted(names, key=["black", "grey", "white"].index)
    assert (names[50], names[100], names[200]) == ("black", "grey", "white")


def test_shading_and_noise_do_not_change_the_name() -> None:
    light = np.linspace(0.75, 1, 60)[None, :, None]
    noise = np.random.default_rng(0).normal(0, 4, (40, 60, 3))
    for name in ("red", "yellow", "green", "blue"):
        shaded = np.clip(painted(name) * light + noise, 0, 255).astype(np.uint8)
        assert clear_colour(shaded, WHOLE) == name


def test_the_box_is_looked_at_and_nothing_beside_it() -> None:
    image = painted("green")
    image[5:15, 30:60] = painted("blue")[5:15, 30:60]  # rows are y, columns are x
    assert clear_colour(image, (0.5, 0.125, 1.0, 0.375)) == "blue"
    assert clear_colour(image, (0.0, 0.125, 0.5, 0.375)) == "green"
    assert clear_colour(image, (0.5, 0.5, 1.0, 1.0)) == "green"


def test_the_border_of_a_box_may_show_the_background() -> None:
    image = painted("green", 50, 50)
    image[10:40, 10:40] = painted("red", 30, 30)  # 36% of the box, all of its inner 60%
    assert clear_colour(image, WHOLE) == "red"


def test_no_name_without_a_majority() -> None:
    image = painted("blue", 50, 50)
    image[:, 18:32] = painted("yellow", 50, 14)
    image[:, 32:] = painted("red", 50, 18)
    assert clear_colour(image, WHOLE) is None
    image[:, 18:36] = painted("yellow", 50, 18)  # 18 of the 30 inner columns
    assert clear_colour(image, WHOLE) == "yellow"


@given(st.floats(0, 0.99), st.floats(0, 0.99), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_every_box_has_pixels_however_small(x: float, y: float, w: float, h: float) -> None:
    box = (x, y, min(x + w, 1.0), min(y + h, 1.0))
    assert clear_colour(painted("purple", 13, 9), box) == "purple"


def test_colours_that_may_pass_for_each_other() -> None:
    for a, b in itertools.product(NAMES, NAMES):
        assert alike(a, b) == alike(b, a)
        assert alike(a, b) or a != b
    assert alike("red", "orange") and alike("black", "grey") and alike("purple", "pink")
    assert not alike("red", "blue") and not alike("black", "white")


@given(st.tuples(*3 * [st.integers(0, 255)]))
def test_a_pixel_has_one_colour(rgb: tuple[int, int, int]) -> None:
    colours = pixel_colours(torch.tensor(rgb, dtype=torch.float32)[None, :, None, None])
    assert colours.shape == (1, len(NAMES), 1, 1)
    assert colours.sum() == 1 and set(colours.unique().tolist()) <= {0.0, 1.0}
