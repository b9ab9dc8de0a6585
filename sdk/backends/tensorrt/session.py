"""TensorRT and TensorRT-RTX.

    numpy ──> pinned memory ──> GPU ── engine ── GPU ──> pinned memory ──> numpy

Pinned and GPU memory are allocated once, for the largest sizes the engine takes. With TensorRT the
way from pinned memory to pinned memory is recorded as a CUDA graph for each combination of input
shapes, and replayed from the second time on. Changing an execution context invalidates what was
recorded of it, so every graph has a context of its own; the contexts share one block of memory for
activations, since only one runs at a time. TensorRT-RTX has one context and records by itself.
"""

import ctypes
import importlib
import logging
import math
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.backends.ort import OrtSession
from sdk.backends.session import Session
from sdk.backends.tensorrt.cache import Engine
from sdk.backends.tensorrt.compile import engine_for
from sdk.backends.tensorrt.library import Library, load_library
from sdk.bundle.contract import TEXT, TensorSpec
from sdk.bundle.manifest import Manifest
from sdk.errors import BackendError, DependencyError, DeviceError, EngineUnsupportedError

GRAPHS_KEPT = 16
"""Recorded CUDA graphs that a session keeps: the last used. Each costs some memory on the GPU."""

Shape = tuple[int, ...]

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
        self._limits = {spec.name: _limits(cuda_engine, spec.name) for spec in self.inputs}
        self._gpu = _Gpu(cuda_engine, library, self.inputs, self.outputs)
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


@dataclass
class _Execution:
    """An execution context and what was last set or recorded of it."""

    context: Any
    outputs: dict[str, Shape] = field(default_factory=dict)
    graph: Any = None


class _Buffer:
    """Room for one tensor in pinned memory and on the GPU."""

    def __init__(self, cuda: Any, resources: ExitStack, spec: TensorSpec, largest: Shape) -> None:
        self._itemsize = np.dtype(spec.dtype).itemsize
        size = self.nbytes(largest)
        self.host = _check(cuda.cudaMallocHost(size))
        resources.callback(cuda.cudaFreeHost, self.host)
        self.gpu = _check(cuda.cudaMalloc(size))
        resources.callback(cuda.cudaFree, self.gpu)
        memory = (ctypes.c_byte * size).from_address(self.host)
        self._array: NDArray[Any] = np.frombuffer(memoryview(memory), np.dtype(spec.dtype))

    def nbytes(self, shape: Shape) -> int:
        return math.prod(shape) * self._itemsize

    def view(self, shape: Shape) -> NDArray[Any]:
        """The pinned memory as an array."""
        return self._array[: math.prod(shape)].reshape(shape)


class _Gpu:
    """An engine with its stream, memory and recorded graphs. For one thread at a time."""

    def __init__(
        self,
        engine: Any,
        library: Library,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self._engine, self._library, self._cuda = engine, library, _cuda_runtime()
        self._inputs = [spec.name for spec in inputs]
        self._outputs = [spec.name for spec in outputs]
        self._executions: OrderedDict[tuple[Shape, ...], _Execution] = OrderedDict()
        with ExitStack() as resources:
            no_waiting = self._cuda.cudaStreamNonBlocking  # for the default stream of others
            self._stream = _check(self._cuda.cudaStreamCreateWithFlags(no_waiting))
            resources.callback(self._cuda.cudaStreamDestroy, self._stream)
            largest = {name: _limits(engine, name)[1] for name in self._inputs}
            largest |= self._set_shapes(self._new_context(), largest)
            self.buffers = {
                spec.name: _Buffer(self._cuda, resources, spec, largest[spec.name])
                for spec in (*inputs, *outputs)
            }
            self._activations, self._activations_size = None, engine.device_memory_size_v2
            if not library.is_rtx:
                self._activations = _check(self._cuda.cudaMalloc(max(1, self._activations_size)))
                resources.callback(self._cuda.cudaFree, self._activations)
            self._resources = resources.pop_all()

    def run(self, shapes: dict[str, Shape]) -> dict[str, Shape]:
        """Run on what is in the pinned memory of the inputs; returns the shapes of the outputs."""
        execution = self._execution(shapes)
        if execution.graph is not None:
            _check(self._cuda.cudaGraphLaunch(execution.graph, self._stream))
            _check(self._cuda.cudaStreamSynchronize(self._stream))
            return execution.outputs
        execution.outputs = self._set_shapes(execution.context, shapes)
        self._enqueue(execution, shapes)
        _check(self._cuda.cudaStreamSynchronize(self._stream))
        if not self._library.is_rtx:  # only now: the first run of a context sets things up
            execution.graph = self._record(execution, shapes)
        return execution.outputs

    def close(self) -> None:
        while self._executions:
            self._drop_oldest()
        self._resources.close()

    def _execution(self, shapes: dict[str, Shape]) -> _Execution:
        key = () if self._library.is_rtx else tuple(shapes.values())
        if key not in self._executions:
            if len(self._executions) == GRAPHS_KEPT:
                self._drop_oldest()
            context = self._new_context()
            if self._activations is not None:
                context.set_device_memory(self._activations, self._activations_size)
            for name, buffer in self.buffers.items():
                context.set_tensor_address(name, buffer.gpu)
            self._executions[key] = _Execution(context)
        self._executions.move_to_end(key)
        return self._executions[key]

    def _drop_oldest(self) -> None:
        _, execution = self._executions.popitem(last=False)
        if execution.graph is not None:
            self._cuda.cudaGraphExecDestroy(execution.graph)

    def _new_context(self) -> Any:
        context = self._library.execution_context(self._engine)
        if context is None:
            raise self._error("no execution context; is the GPU's memory full?")
        return context

    def _set_shapes(self, context: Any, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """Returns the shapes of the outputs."""
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise self._error(f"input {name!r} cannot be {shape}")
        try:
            open_tensors = context.infer_shapes()
        except RuntimeError as error:
            raise self._error(f"inputs do not fit each other: {dict(shapes)}") from error
        if open_tensors:
            raise self._error(f"the engine leaves the shapes of {open_tensors} open")
        return {name: tuple(context.get_tensor_shape(name)) for name in self._outputs}

    def _enqueue(self, execution: _Execution, shapes: Mapping[str, Shape]) -> None:
        for name in self._inputs:
            buffer, size = self.buffers[name], self.buffers[name].nbytes(shapes[name])
            kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
            _check(self._cuda.cudaMemcpyAsync(buffer.gpu, buffer.host, size, kind, self._stream))
        if not execution.context.execute_async_v3(int(self._stream)):
            raise self._error("the engine failed")
        for name, shape in execution.outputs.items():
            buffer, size = self.buffers[name], self.buffers[name].nbytes(shape)
            kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            _check(self._cuda.cudaMemcpyAsync(buffer.host, buffer.gpu, size, kind, self._stream))

    def _record(self, execution: _Execution, shapes: Mapping[str, Shape]) -> Any:
        """What `_enqueue` does, as an executable CUDA graph."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _check(self._cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            self._enqueue(execution, shapes)
        except BackendError:
            self._cuda.cudaStreamEndCapture(self._stream)
            raise
        graph = _check(self._cuda.cudaStreamEndCapture(self._stream))
        try:
            return _check(self._cuda.cudaGraphInstantiate(graph, 0))
        finally:
            self._cuda.cudaGraphDestroy(graph)

    def _error(self, message: str) -> BackendError:
        return BackendError(f"{self._library.name}: {message}: {self._library.errors()}")


def _cuda_runtime() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise DependencyError(
            f"running an engine needs cuda-python: {error}. Fix: pip install 'cuda-python>=13' "
            "(CUDA 12: 'cuda-python>=12.6.1,<13')"
        ) from error


def _check(result: tuple[Any, ...]) -> Any:
    """The value a CUDA call returned. Raises BackendError for its return code."""
    error, *values = result
    if int(error) != 0:
        raise BackendError(f"CUDA: {error.name} ({int(error)})")
    return values[0] if values else None


def _spec(engine: Any, name: str) -> TensorSpec:
    kind = engine.get_tensor_dtype(name).name
    shape = tuple("?" if size < 0 else size for size in engine.get_tensor_shape(name))
    return TensorSpec(name, _DTYPES.get(kind, kind), shape)


def _limits(engine: Any, name: str) -> tuple[Shape, Shape]:
    """Smallest and largest shape of an input."""
    smallest, _, largest = engine.get_tensor_profile_shape(name, 0)
    return tuple(smallest), tuple(largest)
