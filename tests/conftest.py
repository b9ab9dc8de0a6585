"""What all tests share: a tiny bundle, a frame to ask it about, settings."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from sdk import Grounder
from tests.tiny_bundle import write_tiny_bundle

# Helpers with fixtures or asserts: test files that use them load them, and asserts are explained.
pytest.register_assert_rewrite(
    "tests.batches",
    "tests.building",
    "tests.compiling",
    "tests.diagnosing",
    "tests.engine_caches",
    "tests.pupils",
    "tests.serving",
    "tests.streams",
    "tests.web_page",
    "tests.windows",
)

# Shells start what runs in the background with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast an example runs depends on the machine and says nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", settings.get_profile("untimed"), max_examples=1000)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """A run that trains in bfloat16 sets it for the process, where the next test may be exact."""
    yield
    if fast_math := sys.modules.get("train.fast_math"):
        fast_math.use_fast_math(False)


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """Folder of a bundle of its own, see `write_tiny_bundle`."""
    return write_tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def grounder(tiny_bundle: Path) -> Grounder:
    """The Grounder of the tiny bundle."""
    return Grounder.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    """(120, 200, 3) uint8 BGR: smooth colours, different everywhere."""
    y, x = np.mgrid[0:120, 0:200]
    return np.stack([x, y * 2, (x + y) % 256], axis=-1).astype(np.uint8)
