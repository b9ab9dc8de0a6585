"""ONNX Runtime."""

import os
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sdk._internal.arguments import whole
from sdk._internal.files import holds
from sdk.bundle.contract import TensorSpec
from sdk.errors import (
    BackendError,
    BundleCorruptError,
    BundleError,
    BundleNotFoundError,
    DependencyError,
    DeviceError,
)

try:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_state
except ImportError as error:
    raise DependencyError(
        f"ONNX Runtime does not import: {error}. Fix: pip install onnxruntime"
    ) from error

FIRST_RUN_SECONDS = 60.0
"""On a CPU; what takes longer is ended."""
MOST_THREADS = 512
"""More only wait for each other, and tens of thousands hang the runtime."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "ort-tensorrt": "TensorrtExecutionProvider",
    "ort-openvino": "OpenVINOExecutionProvider",
}
"""Device -> the provider that ONNX Runtime has for it, in builds that have it."""
RUNTIME = f"onnxruntime {onnxruntime.__version__}"
_BUILDS = {"directml": "onnxruntime-directml", "ort-openvino": "onnxruntime-openvino"}
_GPU_BUILD = (
    "onnxruntime-gpu, with the CUDA and cuDNN it names (on a Jetson: NVIDIA's wheel for your "
    "JetPack)"
)
_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}

# ONNX Runtime's own exceptions have no common base but Exception. Its Python layer adds two more.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        kind
        for kind in vars(ort_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
_DAMAGED_FILE = (ort_state.InvalidProtobuf, ort_state.InvalidGraph, ort_state.NoModel)


class OrtSession:
    """A `Session` on ONNX Runtime."""

    def __init__(self, path: str | Path, device: str = "auto", threads: int | None = None) -> None:
        providers = _providers(device)
        if PROVIDERS["cuda"] in providers:
            onnxruntime.preload_dlls()  # pip's CUDA libraries are not where the loader looks
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; what it only warns of is nothing to act on
        options.intra_op_num_threads = thread_count(threads)
        options.inter_op_num_threads = 1
        # Threads spin within a run, which small graphs gain a third from, and sleep between runs:
        # else the idle threads of one graph would starve the next graph, and the application.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if providers == [PROVIDERS["cpu"]]:
            # The fused kernel takes longer than a sum and a norm (ONNX Runtime 1.32): with it the
            # fusion of twenty phrases takes a twentieth longer.
            options.add_session_config_entry(
                "optimization.disable_specified_optimizers", "SkipLayerNormFusion"
            )
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=providers, enable_fallback=0
            )
        except _ORT_ERRORS as error:
            raise _load_error(error, path) from error
        self.device = _device_in_use(self._session.get_providers(), providers, device)
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))
        self._output_names = [tensor.name for tensor in self.outputs]
        self._path = path
        self._proven = self.device != "cpu"  # others may compile in their first run

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises:
            BackendError: ONNX Runtime failed.
        """
        try:
            if self._proven:
                values = self._session.run(self._output_names, dict(inputs))
            else:
                values = self._first_run(dict(inputs))
        except _ORT_ERRORS as error:
            shapes = {name: f"{value.dtype} {value.shape}" for name, value in inputs.items()}
            raise BackendError(
                f"ONNX Runtime failed on {self._path} with inputs {shapes}: {error}"
            ) from error
        return dict(zip(self._output_names, values, strict=True))

    def _first_run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Within `FIRST_RUN_SECONDS`: a graph may hold a loop that never ends."""
        options = onnxruntime.RunOptions()
        limit = threading.Timer(FIRST_RUN_SECONDS, setattr, (options, "terminate", True))
        limit.daemon = True
        limit.start()
        try:
            values: list[NDArray[Any]] = self._session.run(self._output_names, inputs, options)
        finally:
            limit.cancel()
        self._proven = True
        return values


def physical_cores() -> int:
    """Physical cores this process may use; logical ones where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text())
        except OSError:
            cores.add(str(cpu))
    return len(cores)


def thread_count(threads: int | None) -> int:
    """`threads`, or one per physical core for None.

    Raises:
        DeviceError: `threads` is no whole number from 1 to `MOST_THREADS`.
    """
    if threads is None:
        return physical_cores()
    return whole("threads", threads, 1, MOST_THREADS, error=DeviceError)


def is_made_for_ort(path: Path) -> bool:
    """Whether a graph is quantised with operators that other runtimes run slowly or not at all.

    `MatMulInteger` with ranges taken at run time, or the blockwise `MatMulNBits` of its own domain.
    """
    return holds(path, b"MatMulInteger", b"com.microsoft")


def chosen_device(device: str) -> str:
    """A device, with what "auto" stands for: CUDA where the runtime has it, else the CPU."""
    if device != "auto":
        return device
    return "cuda" if PROVIDERS["cuda"] in onnxruntime.get_available_providers() else "cpu"


def _providers(device: str) -> list[str]:
    """Providers to ask for, the wanted one first."""
    available = onnxruntime.get_available_providers()
    device = chosen_device(device)
    if device not in PROVIDERS:
        raise DeviceError(f"expected a device in {['auto', *PROVIDERS]}, got {device!r}")
    if PROVIDERS[device] not in available:
        raise DeviceError(
            f"device {device!r} needs {PROVIDERS[device]}, the installed ONNX Runtime "
            f"{onnxruntime.__version__} has {available}; {_install(device)}"
        )
    wanted = [device, "cuda", "cpu"] if device == "ort-tensorrt" else [device, "cpu"]
    return [PROVIDERS[name] for name in dict.fromkeys(wanted) if PROVIDERS[name] in available]


def _install(device: str) -> str:
    if device == "coreml":
        return "it is part of the onnxruntime for macOS"
    return f"pip uninstall -y onnxruntime && pip install {_BUILDS.get(device, _GPU_BUILD)}"


def _device_in_use(active: list[str], asked: list[str], device: str) -> str:
    """ONNX Runtime drops a provider whose libraries do not load and only logs it: say so."""
    if active[0] != asked[0]:
        name = next(name for name, provider in PROVIDERS.items() if provider == asked[0])
        message = f"{asked[0]} is installed but does not start here, got {active}; {_install(name)}"
        if device != "auto":
            raise DeviceError(message)
        warnings.warn(f"{message}. Going on with {active[0]}.", RuntimeWarning, stacklevel=2)
    return next(name for name, provider in PROVIDERS.items() if provider == active[0])


def _load_error(error: Exception, path: str | Path) -> BundleError | BackendError:
    if isinstance(error, ort_state.NoSuchFile):
        return BundleNotFoundError(f"no ONNX graph at {path}")
    if isinstance(error, _DAMAGED_FILE):
        return BundleCorruptError(f"{path} is not a valid ONNX graph: {error}")
    return BackendError(
        f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {error}; for a graph newer "
        "than the runtime: pip install --upgrade onnxruntime"
    )


def _spec(tensor: Any) -> TensorSpec:
    shape = tuple("?" if size is None else size for size in tensor.shape)
    return TensorSpec(tensor.name, _TYPES.get(tensor.type, tensor.type), shape)
