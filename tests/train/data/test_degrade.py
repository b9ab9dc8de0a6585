"""What a camera does to a picture: each does its own harm, repeatably, and to nothing else."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from train.data.degrade import blur, compress, darken, degrade, shrink


@pytest.fixture
def picture() -> np.ndarray:
    """(64, 96, 3): a bright square with sharp edges on a gradient."""
    y, x = np.mgrid[0:64, 0:96]
    image = np.stack([x * 2, y * 3, 255 - x * 2], axis=-1).astype(np.uint8)
    image[20:40, 30:60] = 250
    return image


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in grey values."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def sharpness(image: np.ndarray) -> float:
    """Largest step between neighbours in a row."""
    return float(np.abs(np.diff(image.astype(float), axis=1)).max())


def test_blur_softens_edges_and_keeps_the_light(picture: np.ndarray) -> None:
    weak, strong = blur(picture, 0.7), blur(picture, 2.5)
    assert sharpness(strong) < 0.6 * sharpness(weak) < 0.6 * sharpness(picture)
    assert abs(strong.mean() - picture.mean()) < 1
    assert strong.shape == picture.shape


@pytest.mark.parametrize("gain", [0.2, 0.5])
def test_low_light_is_darker_and_noisy(picture: np.ndarray, gain: float) -> None:
    dark = darken(picture, gain, random.Random(0))
    assert dark.dtype == np.uint8 and dark.shape == picture.shape
    assert dark.mean() == pytest.approx(gain * picture.mean(), abs=2)
    plain = dark[22:38, 32:58]  # a part without any structure
    assert plain.std() == pytest.approx(4, rel=0.2)


def test_low_light_is_drawn_from_the_given_randomness(picture: np.ndarray) -> None:
    first, again, other = (darken(picture, 0.4, random.Random(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_compression_loses_more_at_lower_quality(picture: np.ndarray) -> None:
    high, low = compress(picture, 95), compress(picture, 5)
    assert 0 < distance(high, picture) < distance(low, picture) < 40
    assert low.shape == picture.shape


def test_shrinking_keeps_what_the_picture_shows(picture: np.ndarray) -> None:
    small = shrink(picture, 0.5)
    assert small.shape == (32, 48, 3)
    assert (small[11:19, 16:29] == 250).all()  # the square, at half its place
    assert abs(small.mean() - picture.mean()) < 1


HARMS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "shrink": lambda worse, image: worse.shape != image.shape,
    "darken": lambda worse, image: worse.mean() < 0.7 * image.mean(),
    "blur": lambda worse, image: sharpness(worse) < 0.9 * sharpness(image),
}


def test_each_kind_is_drawn_and_the_picture_stays_as_it_was(picture: np.ndarray) -> None:
    before = picture.copy()
    drawn = {"compress": 0} | dict.fromkeys(HARMS, 0)
    for seed in range(80):
        worse = degrade(picture, random.Random(seed))
        assert worse.dtype == np.uint8
        kinds = [name for name, seen in HARMS.items() if seen(worse, picture)]
        if not kinds:
            assert 0 < distance(worse, picture) < 10
        drawn[kinds[0] if kinds else "compress"] += 1
        assert np.array_equal(worse, degrade(picture, random.Random(seed)))
    assert min(drawn.values()) >= 8
    assert np.array_equal(picture, before)


def test_a_mirrored_or_cropped_view_is_as_good_as_a_copy(picture: np.ndarray) -> None:
    for view in (picture[:, ::-1], picture[10:50, 7:60]):
        for seed in range(12):
            expected = degrade(np.ascontiguousarray(view), random.Random(seed))
            assert np.array_equal(degrade(view, random.Random(seed)), expected)
