"""The default bundle, to be taught, and a picture that it is taught with."""

from pathlib import Path

import pytest

from sdk import Grounder
from tests.paths import ROOT

PICTURES = ROOT / "benchmarks" / "askings"
CUP: Path = ROOT / "apps" / "assets" / "coffee.jpg"
CUP_BOX = (162, 22, 422, 270)
"""Of the cup, by eye."""


@pytest.fixture(scope="module")
def loaded() -> Grounder:
    return Grounder.load(device="cpu", threads=1)


@pytest.fixture
def pupil(loaded: Grounder) -> Grounder:
    """The default, with nothing taught."""
    for lesson in loaded.lessons:
        loaded.remove(lesson.name)
    return loaded
