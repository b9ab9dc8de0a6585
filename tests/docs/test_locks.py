"""The locks in `requirements/`: whole, hashed, and what the images install."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.paths import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"([a-z0-9-]+)==(\S+)( ; [^\\]+)? \\")


def pins(lock: str) -> dict[str, set[str]]:
    """Name -> versions, one for each Python that needs another."""
    found: dict[str, set[str]] = {}
    for name, version, _ in PIN.findall((ROOT / "requirements" / lock).read_text()):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_has_one_version_and_hashes_and_no_index_is_named(lock: Path) -> None:
    packages = re.split(r"\n(?! )", lock.read_text().rstrip())
    packages = [package for package in packages if not package.startswith("#")]
    assert len(packages) > 10
    for package in packages:
        first, *hashes = package.splitlines()
        assert PIN.fullmatch(first), first
        assert hashes and all(re.match(r"    --hash=sha256:[0-9a-f]{64}", line) for line in hashes)


def test_the_tests_lock_has_all_that_the_project_asks_for_but_pytorch() -> None:
    have = pins("dev.txt")
    asked = [Requirement(line) for line in requires("edge-grounder") or []]
    extras = {"dev", "test", "export", "train", "openvino", "interop", "serve", "offline", "docs"}
    for one in asked:
        wanted = one.marker is None or any(one.marker.evaluate({"extra": name}) for name in extras)
        if not wanted or one.name in ("edge-grounder", "torch"):
            continue
        assert all(one.specifier.contains(version) for version in have[one.name]), one
    assert "torch" not in have and not any(name.startswith("nvidia") for name in have)


@pytest.mark.parametrize("image", ["cuda", "l4t"])
def test_an_image_installs_from_its_locks(image: str) -> None:
    text = (ROOT / "docker" / f"Dockerfile.{image}").read_text()
    (lock,) = re.findall(r'--require-hashes -r "?/requirements/([^"\s]+)', text)
    for name in [lock] if image == "cuda" else [f"l4t-cuda{cuda}.txt" for cuda in (12, 13)]:
        assert "numpy" in pins(name)
    assert lock in ("cuda.txt", "l4t-cuda${CUDA}.txt")
