"""OpenVINO, on the CPU: an alternative to ONNX Runtime where it is faster."""

import os
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.backends.ort import thread_count
from sdk.backends.signal_stack import signal_stack_kept
from sdk.bundle.contract import TensorSpec
from sdk.errors import BackendError, BundleCorruptError, BundleNotFoundError, DependencyError

_TYPES = {"f32": "float32", "i64": "int64"}


class OpenVinoSession:
    """A `Session` on OpenVINO. Each concurrent call has an infer request of its own.

    Raises:
        DependencyError: OpenVINO does not import.
        DeviceError: the number of threads cannot be used.
        BundleNotFoundError: there is no such file.
        BundleCorruptError: the file is no valid ONNX graph.
        BackendError: OpenVINO cannot load the graph.
    """

    device = "openvino"

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise DependencyError(
                f"OpenVINO does not import: {error}. Fix: pip install openvino"
            ) from error
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": thread_count(threads),
            # Else OpenVINO computes FP32 graphs in bfloat16 on CPUs that can.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if not Path(path).is_file():
            raise BundleNotFoundError(f"no ONNX graph at {path}")
        core = openvino.Core()
        try:
            model = core.read_model(str(path))
        except RuntimeError as error:
            raise BundleCorruptError(f"{path} is not a valid ONNX graph: {error}") from error
        try:
            with signal_stack_kept():
                self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            version = openvino.__version__
            raise BackendError(f"OpenVINO {version} cannot load {path}: {error}") from error
        self.inputs = tuple(map(_spec, self._compiled.inputs))
        self.outputs = tuple(map(_spec, self._compiled.outputs))
        self._path = path
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises:
            BackendError: other inputs than the graph's, or OpenVINO failed.
        """
        names = [tensor.name for tensor in self.inputs]
        if sorted(inputs) != sorted(names):  # OpenVINO would compute with what it finds in memory
            raise BackendError(f"{self._path}: expected the inputs {names}, got {list(inputs)}")
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        try:
            results = request.infer(dict(inputs), share_inputs=True)
            # Copies: the request will write its next results to the same memory.
            outputs = {o.name: np.array(results[i]) for i, o in enumerate(self.outputs)}
        except (RuntimeError, TypeError, ValueError) as error:
            shapes = {name: f"{value.dtype} {value.shape}" for name, value in inputs.items()}
            raise BackendError(
                f"OpenVINO failed on {self._path} with inputs {shapes}: {error}"
            ) from error
        self._idle.put(request)
        return outputs


def _spec(port: Any) -> TensorSpec:
    kind = port.get_element_type().get_type_name()
    shape = tuple(size.get_length() if size.is_static else "?" for size in port.get_partial_shape())
    return TensorSpec(port.get_any_name(), _TYPES.get(kind, kind), shape)
