"""What tests of the folder of engines share: a key, a plan of any bytes, an empty cache."""

from pathlib import Path

import pytest

from sdk.backends.tensorrt.cache import EngineCache
from sdk.backends.tensorrt.engine import EngineKey

PLAN = bytes(range(256)) * 40
KEY = EngineKey(
    graph="fusion",
    precision="fp16",
    model_sha256="a" * 64,
    profiles={"P": (1, 1, 16), "L": (2, 8, 64)},
    library="tensorrt",
    version="10.3.0",
    platform="linux-aarch64",
    device="Orin, 8 SMs",
    compute_capability="8.7",
    version_compatible=False,
)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path / "my bundle", "fp16")
    cache.prepare()
    return cache


def paths(cache: EngineCache) -> tuple[Path, Path]:
    """Plan and description."""
    return next(cache.folder.glob("*.engine")), cache.folder / f"{KEY.stem}.json"
