"""A Grounder from its bundle to its end: what it loads, what it refuses, what it lets go of."""

import dataclasses
import gc
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from sdk import (
    BackendError,
    BundleCorruptError,
    BundleMismatchError,
    BundleNotFoundError,
    ClosedError,
    DeviceError,
    Grounder,
    PrecisionError,
)
from sdk._internal.hashing import sha256_file
from sdk.bundle.manifest import GraphFile, Manifest
from tests.tiny_bundle import PHRASES


def test_a_closed_grounder(tiny_bundle: Path, frame: NDArray[np.uint8]) -> None:
    with Grounder.load(tiny_bundle, device="cpu") as grounder:
        grounder.ground(frame, "cat")
        view, encoded = grounder.encode(frame), grounder.encode_phrases("cat")
    calls: list[Callable[[], object]] = [
        lambda: grounder.ground(frame, "cat"),
        lambda: grounder.encode(frame),
        lambda: grounder.encode_phrases("cat"),
        lambda: grounder.stream([frame], "cat"),
        lambda: grounder.sessions,
        lambda: view.ground("cat"),
        lambda: view.answer(encoded, 0),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="load it again"):
            call()
    assert grounder.info.name == grounder.manifest.name == "tiny"
    grounder.close()  # again


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What goes, goes because nothing refers to it."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("closed", [False, True])
def test_the_graphs_of_a_grounder_go_with_it(
    tiny_bundle: Path, frame: NDArray[np.uint8], closed: bool
) -> None:
    grounder = Grounder.load(tiny_bundle, device="cpu")
    grounder.ground(frame, PHRASES)
    with grounder.stream([frame], PHRASES) as stream:
        assert len(list(stream)) == 1
    del stream
    graphs = [weakref.ref(session) for session in grounder.sessions.values()]
    if closed:
        grounder.close()
    else:
        del grounder
    assert [graph() for graph in graphs] == [None] * 3


def test_precision_selects_other_files(tiny_bundle: Path, frame: NDArray[np.uint8]) -> None:
    fp32, int8 = (Grounder.load(tiny_bundle, precision=name) for name in ("fp32", "int8"))
    assert fp32.ground(frame, "cat") != int8.ground(frame, "cat")
    assert_array_equal(fp32.encode(frame).visual_tokens, int8.encode(frame).visual_tokens)
    assert int8.info.precision == "int8"
    assert {name: graph.precision for name, graph in int8.info.graphs.items()} == {
        "vision": "fp32",
        "text": "int8",
        "fusion": "fp32",
    }


def test_info(tiny_bundle: Path, grounder: Grounder) -> None:
    sizes = {name: (tiny_bundle / f"{name}.onnx").stat().st_size for name in grounder.info.graphs}
    assert {name: graph.bytes for name, graph in grounder.info.graphs.items()} == sizes
    assert grounder.info.bytes == sum(sizes.values())
    assert (grounder.info.name, grounder.info.device) == ("tiny", "cpu")
    assert grounder.info.input_size_wh == (48, 32)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"device": "gpu"}, DeviceError),
        ({"threads": 0}, DeviceError),
        ({"threads": -4}, DeviceError),
        ({"precision": "fp4"}, PrecisionError),
        ({"precision": None}, PrecisionError),
    ],
)
def test_bad_load_arguments(
    tiny_bundle: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"expected .*, got"):
        Grounder.load(tiny_bundle, **arguments)


@pytest.mark.parametrize("bundle", ["", "nowhere", 3])
def test_no_bundle(bundle: Any) -> None:
    with pytest.raises(BundleNotFoundError):
        Grounder.load(bundle)


@pytest.mark.parametrize("name", ["vision.onnx", "text.onnx", "fusion.onnx", "vocab.txt"])
def test_missing_and_damaged_files(tiny_bundle: Path, name: str) -> None:
    with open(tiny_bundle / name, "ab") as file:
        file.write(b" ")
    with pytest.raises(BundleCorruptError, match=name):
        Grounder.load(tiny_bundle)
    (tiny_bundle / name).unlink()
    with pytest.raises(BundleNotFoundError, match=name):
        Grounder.load(tiny_bundle)


def replace_graph(folder: Path, graph: str, model: onnx.ModelProto | Path) -> None:
    """Put another graph in the bundle, with a manifest that vouches for it."""
    path = folder / f"{graph}.onnx"
    shutil.copy(model, path) if isinstance(model, Path) else onnx.save(model, path)
    manifest = Manifest.load(folder)
    file = GraphFile(path.name, sha256_file(path), path.stat().st_size)
    graphs = {**manifest.graphs, graph: {**manifest.graphs[graph], "fp32": file}}
    dataclasses.replace(manifest, graphs=graphs).save(folder)


def test_a_graph_in_another_graphs_place(tiny_bundle: Path) -> None:
    replace_graph(tiny_bundle, "fusion", tiny_bundle / "text.onnx")
    with pytest.raises(BundleMismatchError, match="input of graph fusion: expected"):
        Grounder.load(tiny_bundle)


def test_a_graph_for_another_input_size(tiny_bundle: Path) -> None:
    manifest = Manifest.load(tiny_bundle)
    preprocess = dataclasses.replace(manifest.preprocess, width=64)
    dataclasses.replace(manifest, preprocess=preprocess).save(tiny_bundle)
    with pytest.raises(BundleMismatchError, match=r"'image': .*\[1, 3, 32, 64\], got .*48\]"):
        Grounder.load(tiny_bundle)


def test_not_a_number_is_an_error(tiny_bundle: Path, frame: NDArray[np.uint8]) -> None:
    model = onnx.load(tiny_bundle / "fusion.onnx")
    weights = np.full((8, 4), np.nan, np.float32)
    model.graph.initializer[-1].CopyFrom(onnx.numpy_helper.from_array(weights, "weights"))
    replace_graph(tiny_bundle, "fusion", model)
    with pytest.raises(BackendError, match="NaN or infinity"):
        Grounder.load(tiny_bundle).ground(frame, "dog")


def test_slips_are_set_right_where_the_bundle_has_a_word_list(
    tiny_bundle: Path, grounder: Grounder, frame: NDArray[np.uint8]
) -> None:
    meant, typed = (grounder.ground(frame, text) for text in ("the red dog", "teh red dgo"))
    assert typed.score != meant.score  # without a list nothing is corrected
    words = tiny_bundle / "words.txt"
    words.write_text("the\nred\ndog\n", encoding="utf-8")
    manifest = Manifest.load(tiny_bundle)
    spec = dataclasses.replace(manifest.tokenizer, words_file=words.name)
    with pytest.raises(ValueError, match=r"words\.txt"):
        dataclasses.replace(manifest, tokenizer=spec)  # a file without a hash
    files = {**manifest.files, words.name: sha256_file(words)}
    dataclasses.replace(manifest, tokenizer=spec, files=files).save(tiny_bundle)
    corrected = Grounder.load(tiny_bundle, device="cpu").ground(frame, "teh red dgo")
    assert corrected == dataclasses.replace(meant, text="teh red dgo")
    as_typed = Grounder.load(tiny_bundle, device="cpu", spelling=False).ground(frame, "teh red dgo")
    assert as_typed.unknown_words == ("teh", "dgo")
    assert (as_typed.box, as_typed.score, as_typed.found) == (typed.box, 0.0, False)
    words.write_text("the\n", encoding="utf-8")
    with pytest.raises(BundleCorruptError, match=r"words\.txt"):
        Grounder.load(tiny_bundle, device="cpu")
