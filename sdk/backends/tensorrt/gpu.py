"""An engine's memory and its runs on the GPU."""

import ctypes
import importlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.backends.tensorrt.library import Library
from sdk.bundle.contract import TensorSpec
from sdk.errors import BackendError, DependencyError

GRAPHS_KEPT = 16
"""Recorded CUDA graphs that a session keeps: the last used. Each costs some memory on the GPU."""

Shape = tuple[int, ...]


@dataclass
class Execution:
    """An execution context and what was last set or recorded of it."""

    context: Any
    outputs: dict[str, Shape] = field(default_factory=dict)
    graph: Any = None


class Buffer:
    """Room for one tensor in pinned memory and on the GPU."""

    def __init__(self, cuda: Any, resources: ExitStack, spec: TensorSpec, largest: Shape) -> None:
        self._itemsize = np.dtype(spec.dtype).itemsize
        size = self.nbytes(largest)
        self.host = check(cuda.cudaMallocHost(size))
        resources.callback(cuda.cudaFreeHost, self.host)
        self.gpu = check(cuda.cudaMalloc(size))
        resources.callback(cuda.cudaFree, self.gpu)
        memory = (ctypes.c_byte * size).from_address(self.host)
        self._array: NDArray[Any] = np.frombuffer(memoryview(memory), np.dtype(spec.dtype))

    def nbytes(self, shape: Shape) -> int:
        return math.prod(shape) * self._itemsize

    def view(self, shape: Shape) -> NDArray[Any]:
        """The pinned memory as an array."""
        return self._array[: math.prod(shape)].reshape(shape)


class Gpu:
    """An engine with its stream, memory and recorded graphs. For one thread at a time."""

    def __init__(
        self,
        engine: Any,
        library: Library,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self._engine, self._library, self._cuda = engine, library, cuda_runtime()
        self._inputs = [spec.name for spec in inputs]
        self._outputs = [spec.name for spec in outputs]
        self._executions: OrderedDict[tuple[Shape, ...], Execution] = OrderedDict()
        with ExitStack() as resources:
            no_waiting = self._cuda.cudaStreamNonBlocking  # for the default stream of others
            self._stream = check(self._cuda.cudaStreamCreateWithFlags(no_waiting))
            resources.callback(self._cuda.cudaStreamDestroy, self._stream)
            largest = {name: limits(engine, name)[1] for name in self._inputs}
            largest |= self._set_shapes(self._new_context(), largest)
            self.buffers = {
                spec.name: Buffer(self._cuda, resources, spec, largest[spec.name])
                for spec in (*inputs, *outputs)
            }
            self._activations, self._activations_size = None, engine.device_memory_size_v2
            if not library.is_rtx:
                self._activations = check(self._cuda.cudaMalloc(max(1, self._activations_size)))
                resources.callback(self._cuda.cudaFree, self._activations)
            self._resources = resources.pop_all()

    def run(self, shapes: dict[str, Shape]) -> dict[str, Shape]:
        """Run on what is in the pinned memory of the inputs; returns the shapes of the outputs."""
        execution = self._execution(shapes)
        if execution.graph is not None:
            check(self._cuda.cudaGraphLaunch(execution.graph, self._stream))
            check(self._cuda.cudaStreamSynchronize(self._stream))
            return execution.outputs
        execution.outputs = self._set_shapes(execution.context, shapes)
        self._enqueue(execution, shapes)
        check(self._cuda.cudaStreamSynchronize(self._stream))
        if not self._library.is_rtx:  # only now: the first run of a context sets things up
            execution.graph = self._record(execution, shapes)
        return execution.outputs

    def close(self) -> None:
        while self._executions:
            self._drop_oldest()
        self._resources.close()

    def _execution(self, shapes: dict[str, Shape]) -> Execution:
        key = () if self._library.is_rtx else tuple(shapes.values())
        if key not in self._executions:
            if len(self._executions) == GRAPHS_KEPT:
                self._drop_oldest()
            context = self._new_context()
            if self._activations is not None:
                context.set_device_memory(self._activations, self._activations_size)
            for name, buffer in self.buffers.items():
                context.set_tensor_address(name, buffer.gpu)
            self._executions[key] = Execution(context)
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

    def _enqueue(self, execution: Execution, shapes: Mapping[str, Shape]) -> None:
        for name in self._inputs:
            buffer, size = self.buffers[name], self.buffers[name].nbytes(shapes[name])
            kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
            check(self._cuda.cudaMemcpyAsync(buffer.gpu, buffer.host, size, kind, self._stream))
        if not execution.context.execute_async_v3(int(self._stream)):
            raise self._error("the engine failed")
        for name, shape in execution.outputs.items():
            buffer, size = self.buffers[name], self.buffers[name].nbytes(shape)
            kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            check(self._cuda.cudaMemcpyAsync(buffer.host, buffer.gpu, size, kind, self._stream))

    def _record(self, execution: Execution, shapes: Mapping[str, Shape]) -> Any:
        """What `_enqueue` does, as an executable CUDA graph."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(self._cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            self._enqueue(execution, shapes)
        except BackendError:
            self._cuda.cudaStreamEndCapture(self._stream)
            raise
        graph = check(self._cuda.cudaStreamEndCapture(self._stream))
        try:
            return check(self._cuda.cudaGraphInstantiate(graph, 0))
        finally:
            self._cuda.cudaGraphDestroy(graph)

    def _error(self, message: str) -> BackendError:
        return BackendError(f"{self._library.name}: {message}: {self._library.errors()}")


def cuda_runtime() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise DependencyError(
            f"running an engine needs cuda-python: {error}. Fix: pip install 'cuda-python>=13' "
            "(CUDA 12: 'cuda-python>=12.6.1,<13')"
        ) from error


def check(result: tuple[Any, ...]) -> Any:
    """The value a CUDA call returned. Raises BackendError for its return code."""
    error, *values = result
    if int(error) != 0:
        raise BackendError(f"CUDA: {error.name} ({int(error)})")
    return values[0] if values else None


def limits(engine: Any, name: str) -> tuple[Shape, Shape]:
    """Smallest and largest shape of an input."""
    smallest, _, largest = engine.get_tensor_profile_shape(name, 0)
    return tuple(smallest), tuple(largest)
