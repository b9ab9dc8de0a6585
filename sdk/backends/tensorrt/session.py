"""TensorRT and TensorRT-RTX.

    numpy ──> pinned memory ──> GPU ── engine ── GPU ──> pinned memory ──> numpy

Pinned and GPU memory are allocated once, for the largest sizes the engine takes. With TensorRT the
way from pinned memory to pinned memory is recorded as a CUDA graph for each combination of input
shapes, and replayed from the second time on. Changing an execution context invalidates what was
recorded of it, so every graph has a context of its own; the contexts share one block of memory for
activations, since only one runs at a time. TensorRT-RTX has one context and records by itself.
"""

import logging
import weakref
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from sdk.backends.ort import OrtSession
from sdk.backends.session import Session
from sdk.backends.tensorrt.compile import engine_for
from sdk.backends.tensorrt.engine import Engine
from sdk.backends.tensorrt.gpu import Gpu, limits
from sdk.backends.tensorrt.library import Library, load_library
from sdk.backends.tensorrt.release import releasing
from sdk.bundle.contract import TEXT, TensorSpec
from sdk.bundle.manifest import Manifest
from sdk.errors import BackendError, DeviceError, EngineUnsupportedError

logger = logging.getLogger("grounder.backend")

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT64": "int64",
    "INT32": "int32",
    "INT8": "int8",
    "BOOL": "bool",
}


def open_engines(
    folder: Path,
    manifest: Manifest,
    precision: str,
    device: str,
    threads: int | None = None,
    engines: Path | None = None,
) -> dict[str, Session]:
    """A session for each graph of a bundle that `compile_bundle` has compiled.

    A text graph that TensorRT refused runs on ONNX Runtime, and its session says so; any other is
    an error.

    Args:
        precision: a name the bundle carries.
        device: "tensorrt" or "tensorrt-rtx".
        threads: CPU threads of ONNX Runtime.
        engines: the folder they were compiled into, None for the bundle's own.

    Raises:
        DeviceError: there is no GPU.
        DependencyError: TensorRT or cuda-python does not import.
        EngineError: a graph has not been compiled, or cannot be.
        BundleError: a graph's file cannot be used.
        BackendError: TensorRT does not take an engine, or the GPU's memory does not suffice.
    """
    library = load_library(device)
    sessions: dict[str, Session] = {}
    for graph, file in manifest.graph_files(precision).items():
        engine = engine_for(folder, manifest, graph, precision, library, engines)
        if isinstance(engine, Engine):
            sessions[graph] = TensorRTSession(engine, library)
            logger.info("%s graph: engine %s", graph, engine.path)
        elif graph == TEXT.name:  # once a phrase: it does not slow down a stream of frames
            sessions[graph] = OrtSession(folder / file.file, "auto", threads)
        else:
            raise EngineUnsupportedError(
                f"{device} does not take the {graph} graph at {precision}: {engine.reason}; choose "
                "another precision"
            )
    return sessions


class TensorRTSession:
    """A `Session` on a compiled engine, on the first GPU that CUDA shows this process."""

    @releasing
    def __init__(self, engine: Engine, library: Library) -> None:
        """Load an engine.

        Raises:
            DeviceError: there is no GPU.
            DependencyError: cuda-python does not import.
            BackendError: TensorRT does not take the engine, or the GPU's memory does not suffice.
        """
        if library.device() is None:
            raise DeviceError("an engine runs on an NVIDIA GPU; found none that CUDA can use")
        self.device = library.name
        self._path = engine.path
        library.errors()  # forget what is left from other calls
        runtime = library.runtime(version_compatible=engine.key.version_compatible)
        cuda_engine = runtime.deserialize_cuda_engine(engine.plan)
        if cuda_engine is None:
            raise BackendError(
                f"{library.name} {library.version} does not load {engine.path}: "
                f"{library.errors()}; compile the bundle again"
            )
        names = [cuda_engine.get_tensor_name(i) for i in range(cuda_engine.num_io_tensors)]
        is_input = {name: cuda_engine.get_tensor_mode(name).name == "INPUT" for name in names}
        specs = [_spec(cuda_engine, name) for name in names]
        self.inputs = tuple(spec for spec in specs if is_input[spec.name])
        self.outputs = tuple(spec for spec in specs if not is_input[spec.name])
        self._limits = {spec.name: limits(cuda_engine, spec.name) for spec in self.inputs}
        self._gpu = Gpu(cuda_engine, library, self.inputs, self.outputs)
        self._lock = Lock()
        weakref.finalize(self, self._gpu.close)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises:
            BackendError: inputs that the engine does not take, or TensorRT or CUDA failed.
        """
        self._check(inputs)
        with self._lock:
            for name, value in inputs.items():
                self._gpu.buffers[name].view(value.shape)[...] = value
            shapes = self._gpu.run({spec.name: inputs[spec.name].shape for spec in self.inputs})
            return {
                name: self._gpu.buffers[name].view(shape).copy() for name, shape in shapes.items()
            }

    def _check(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        expected = sorted(spec.name for spec in self.inputs)
        if sorted(inputs) != expected:
            raise BackendError(f"{self._path}: expected inputs {expected}, got {sorted(inputs)}")
        for spec in self.inputs:
            value, (smallest, largest) = inputs[spec.name], self._limits[spec.name]
            fits = len(value.shape) == len(smallest) and all(
                low <= size <= high
                for low, size, high in zip(smallest, value.shape, largest, strict=True)
            )
            if value.dtype != spec.dtype or not fits:
                raise BackendError(
                    f"{self._path}: input {spec.name!r}: expected {spec.dtype} between {smallest} "
                    f"and {largest}, got {value.dtype} {value.shape}"
                )


def _spec(engine: Any, name: str) -> TensorSpec:
    kind = engine.get_tensor_dtype(name).name
    shape = tuple("?" if size < 0 else size for size in engine.get_tensor_shape(name))
    return TensorSpec(name, _DTYPES.get(kind, kind), shape)
