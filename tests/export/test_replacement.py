"""A bundle that is replaced, also while others load it."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from export.bundle import publish, staging
from export.plan import check_replaceable
from sdk import BundleError, Grounder
from sdk._internal.hashing import sha256_file
from sdk.bundle.manifest import Manifest
from tests.tiny_bundle import write_tiny_bundle

REPLACEMENTS = 40


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path]:
    """Two that differ in the text graph, which both keep in a file of the same name."""
    first = write_tiny_bundle(tmp_path / "first")
    second = Path(shutil.copytree(first, tmp_path / "second"))
    shutil.copy(second / "text.int8.onnx", second / "text.onnx")
    manifest = Manifest.load(second)
    file = replace(manifest.graphs["text"]["int8"], file="text.onnx")
    graphs = {**manifest.graphs, "text": {**manifest.graphs["text"], "fp32": file}}
    replace(manifest, name="second", graphs=graphs).save(second)
    return first, second


@pytest.fixture
def replaced(bundles: tuple[Path, Path], tmp_path: Path) -> Iterator[Path]:
    """A bundle that another thread replaces by the other one, again and again."""
    out = Path(shutil.copytree(bundles[0], tmp_path / "out"))

    def run() -> None:
        for number in range(REPLACEMENTS):
            with staging(out) as folder:
                publish(shutil.copytree(bundles[number % 2], folder / "bundle"), out)

    thread = threading.Thread(target=run, name="replacing")
    thread.start()
    yield out
    thread.join()
    assert list(tmp_path.glob(".out-*")) == []


def test_what_loads_is_one_bundle_or_the_other(
    bundles: tuple[Path, Path], replaced: Path, frame: object
) -> None:
    expected = {}
    for path in bundles:
        with Grounder.load(path, device="cpu", threads=1) as grounder:
            expected[grounder.info.name] = grounder.ground(frame, "the dog")
    assert expected["tiny"] != expected["second"]

    def check() -> None:
        with Grounder.load(replaced, device="cpu", threads=1) as grounder:
            assert grounder.ground(frame, "the dog") == expected[grounder.info.name]

    while any(thread.name == "replacing" for thread in threading.enumerate()):
        with suppress(BundleError):  # replaced meanwhile
            check()
    check()
    assert sha256_file(replaced / "text.onnx") == sha256_file(bundles[1] / "text.onnx")


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Path]:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text("old")
    yield out


def test_publishing_replaces_the_old_bundle_whole(published: Path) -> None:
    with staging(published) as folder:
        new = folder / "bundle"
        new.mkdir()
        (new / "vision.fp32.onnx").write_text("new")
        publish(new, published)
    assert [path.name for path in published.iterdir()] == ["vision.fp32.onnx"]
    assert list(published.parent.iterdir()) == [published]


def test_a_failure_leaves_the_old_bundle_and_nothing_else(published: Path) -> None:
    with pytest.raises(RuntimeError), staging(published) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert (published / "manifest.json").read_text() == "old"
    assert list(published.parent.iterdir()) == [published]


def test_a_folder_with_other_files_is_never_replaced(published: Path) -> None:
    check_replaceable(published)
    check_replaceable(published / "new")
    (published / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        check_replaceable(published)
    with pytest.raises(ValueError, match="expected a folder"):
        check_replaceable(published / "thesis.tex")
