"""The default bundle, to be taught, and a picture that it is taught with."""

from pathlib import Path

import pytest

from sdk import Grounder
from tests.paths import ROOT

PICTURES = ROOT / "benchmarks" / "askings"
BEE: Path = PICTURES / "bee.jpg"
BEE_BOX = (49, 110, 333, 394)
"""Of the bee, see benchmarks/askings.json."""


@pytest.fixture(scope="module")
def loaded() -> Grounder:
    return Grounder.load(device="cpu", threads=1)


@pytest.fixture
def pupil(loaded: Grounder) -> Grounder:
    """The default, with nothing taught."""
    for lesson in loaded.lessons:
        loaded.remove(lesson.name)
    return loaded
