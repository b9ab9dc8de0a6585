"""The OpenVINO backend answers as ONNX Runtime does."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdk import Grounder
from sdk.backends.select import open_session
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.contract import IMAGE, VISION, VISUAL_TOKENS, GraphSpec, check_graphs
from sdk.errors import BackendError, BundleCorruptError, BundleNotFoundError, DeviceError
from tests.paths import ROOT
from tests.waiting import run_process

pytest.importorskip("openvino", reason="the openvino package is not installed")

GRAPH = DEFAULT_BUNDLE / "vision.fp32.onnx"


def random_image(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {IMAGE: rng.normal(size=(1, 3, 320, 320)).astype(np.float32)}


def test_its_tensors_and_values_are_those_of_onnx_runtime() -> None:
    session, reference = open_session(GRAPH, "openvino"), open_session(GRAPH, "cpu")
    check_graphs([GraphSpec(VISION.name, session.inputs, session.outputs)], {"H": 320, "W": 320})
    expected = reference.run(random_image(0))
    outputs = session.run(random_image(0))
    assert outputs.keys() == expected.keys()
    scale = np.abs(expected[VISUAL_TOKENS]).max()
    assert np.abs(outputs[VISUAL_TOKENS] - expected[VISUAL_TOKENS]).max() < 1e-3 * scale


@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO changes signal stacks on Linux alone")
def test_a_signal_is_handled_after_another_thread_let_go_of_the_last_graph() -> None:
    code = f"""
import signal, threading
from sdk.backends.openvino import OpenVinoSession
held = [OpenVinoSession({str(GRAPH)!r}, 1)]
let_go = threading.Thread(target=held.clear)
let_go.start()
let_go.join()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""
    ended = run_process([sys.executable, "-c", code], cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_threads_share_a_session_and_results_stay_their_own() -> None:
    session = open_session(GRAPH, "openvino", threads=1)
    alone = [session.run(random_image(seed))[VISUAL_TOKENS].copy() for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: session.run(random_image(seed % 4)), range(12)))
    for index, outputs in enumerate(together):
        np.testing.assert_array_equal(outputs[VISUAL_TOKENS], alone[index % 4])


def test_the_default_bundle_gives_the_same_boxes() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    phrases = ["the dog on the left", "a man in a red shirt"]
    grounder = Grounder.load(device="openvino")
    graphs = {name: graph.device for name, graph in grounder.info.graphs.items()}
    # Its text graph is quantised with operators of ONNX Runtime.
    assert graphs == {"vision": "openvino", "text": "cpu", "fusion": "openvino"}
    expected = Grounder.load(device="cpu").ground(frame, phrases)
    for result, reference in zip(grounder.ground(frame, phrases), expected, strict=True):
        np.testing.assert_allclose(result.box, reference.box, atol=0.05)
        assert result.score == pytest.approx(reference.score, abs=1e-4)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {IMAGE: np.zeros((3, 320, 320), np.float32)},
        {IMAGE: np.zeros((1, 3, 320, 320), np.float32), "colour": np.zeros(1, np.float32)},
    ],
)
def test_a_failing_run_is_a_backend_error(inputs: dict[str, Any]) -> None:
    with pytest.raises(BackendError, match=r"vision\.fp32\.onnx"):
        open_session(GRAPH, "openvino").run(inputs)


def test_graphs_that_do_not_load(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"nowhere\.onnx"):
        open_session(tmp_path / "nowhere.onnx", "openvino")
    (tmp_path / "garbage.onnx").write_bytes(b"garbage")
    with pytest.raises(BundleCorruptError, match="not a valid ONNX graph"):
        open_session(tmp_path / "garbage.onnx", "openvino")
    with pytest.raises(DeviceError, match="threads: expected a whole number"):
        open_session(GRAPH, "openvino", threads=0)
