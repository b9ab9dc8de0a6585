"""The Grounder of the tiny bundle, and phrases to ask it."""

from pathlib import Path

import pytest

from sdk import Grounder

PHRASES = ["the dog", "a man in a red shirt", "cat", "the cat on the left, the dog's right"]


@pytest.fixture
def grounder(tiny_bundle: Path) -> Grounder:
    return Grounder.load(tiny_bundle, device="cpu", threads=1)
