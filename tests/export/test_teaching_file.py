"""What a bundle is taught with: useful nouns first, and no words that name nothing."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from export.teaching import LEAST_USES, common_nouns, most_useful_first
from sdk.bundle import DEFAULT_BUNDLE
from sdk.lessons.background import FILE_NAME, Background
from train.data.coco import COCO_CLASSES
from train.data.samples import Expression, Photo

finds = arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 12)))


@given(finds)
def test_every_noun_comes_once_and_the_first_ones_find_the_most(found: np.ndarray) -> None:
    order = most_useful_first(found)
    assert sorted(order) == list(range(len(found)))
    assert found[order[0]].sum() == found.sum(1).max()
    covered = np.logical_or.accumulate(found[order]).sum(1)
    gains = np.diff([0, *covered])
    assert (np.diff(gains) <= 0).all()  # as of any greedy cover


def test_nouns_are_those_that_many_phrases_end_in() -> None:
    said = ["a red helmet"] * LEAST_USES + ["a green one"] * LEAST_USES + ["the dogs"] * LEAST_USES
    said += ["a rare thing"] * (LEAST_USES - 1)
    photo = Photo(Path("a.jpg"), tuple(Expression(text, ((0, 0, 1, 1),)) for text in said))
    nouns = common_nouns([photo])
    assert set(nouns) - set(COCO_CLASSES) == {"helmet"} and "dog" in nouns


def test_the_default_brings_what_it_takes() -> None:
    background = Background.load(DEFAULT_BUNDLE / FILE_NAME)
    assert len(background.looks) >= 500 and np.isfinite(background.looks).all()
    assert {"dog", "cup", "helmet"} <= set(background.nouns)
    white = background.whitened(background.looks)
    deviations = np.cov(white.T)
    assert np.abs(deviations - np.diag(np.diag(deviations))).max() < 1e-3
    assert (DEFAULT_BUNDLE / FILE_NAME).stat().st_size < 1_000_000
