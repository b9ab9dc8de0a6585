"""Which TensorRT there is, and what the code must know of its kinds and versions.

|                      | TensorRT 10.3 and later   | TensorRT 11  | TensorRT-RTX 1.x           |
|----------------------|---------------------------|--------------|----------------------------|
| strongly typed       | a flag, always set        | flag ignored | flag ignored               |
| FP16, INT8 flags     | never used                | gone         | gone                       |
| explicit batch flag  | ignored, never used       | gone         | gone                       |
| built for            | the GPU in this machine   | the same     | all cards from 8.0, or one |
|                      |                           |              | compute capability         |
| builds without a GPU | no                        | no           | yes                        |
| an engine runs on    | that device and system    | the same     | such cards, any system     |
| VERSION_COMPATIBLE   | for later versions of the | the same     | no: libnvinfer_lean is     |
|                      | same major number         |              | not shipped                |
| timing cache         | yes                       | the same     | a deprecated no-op         |
| CUDA graphs          | recorded by the caller    | the same     | an option of the runtime   |

Precision is the graph's own (FP16 casts, Q/DQ nodes): strongly typed networks are for that, and so
one code path serves all of them. TF32 stays at TensorRT's default, which is on.
"""

import ctypes
import importlib
import platform
import sys
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from sdk.errors import DependencyError, DeviceError, EngineBuildError

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt-rtx"
ANY = "any"
"""A platform, device or compute capability that does not matter to an engine."""

_OLDEST = {TENSORRT: 10, TENSORRT_RTX: 1}
_INSTALL = {
    TENSORRT: (
        "pip install tensorrt-cu13 (CUDA 12: tensorrt-cu12); on a Jetson it comes with JetPack: "
        "sudo apt install python3-libnvinfer, and make the environment with "
        "python3 -m venv --system-site-packages"
    ),
    TENSORRT_RTX: "pip install tensorrt-rtx",
}
_ERROR_LINES = 20


@dataclass(frozen=True)
class Device:
    """A GPU. Boards of one family can share a name and differ in multiprocessors (Orin)."""

    name: str
    compute_capability: str
    """As in "8.7"."""
    multiprocessors: int

    def __str__(self) -> str:
        return f"{self.name}, {self.multiprocessors} SMs"


@dataclass(frozen=True)
class Target:
    """What an engine runs on; `ANY` where it does not matter."""

    platform: str
    device: str
    compute_capability: str


@dataclass(frozen=True)
class Library:
    """An imported TensorRT. Made by `load_library`."""

    name: str
    """"tensorrt" or "tensorrt-rtx"."""
    version: str
    module: Any
    logger: Any
    """The process has one: TensorRT goes on using the first it is given."""
    has_timing_cache: bool

    @property
    def is_rtx(self) -> bool:
        return self.name == TENSORRT_RTX

    def device(self) -> Device | None:
        """The first GPU that CUDA shows this process (see CUDA_VISIBLE_DEVICES), or None."""
        return cuda_device()

    def target(self, compute_capability: str | None = None) -> Target:
        """What an engine built here runs on.

        Args:
            compute_capability: for TensorRT-RTX, as "8.6"; None builds for all cards from 8.0 on.

        Raises:
            DeviceError: there is no GPU to build on, or the library does not build for this compute
                capability.
        """
        if self.is_rtx:
            if compute_capability is not None:
                self._rtx_capability(compute_capability)
            return Target(ANY, ANY, compute_capability or ANY)
        device = self._need_device("TensorRT builds for the GPU of the machine it runs on")
        if compute_capability not in (None, device.compute_capability):
            raise DeviceError(
                f"compute capability: expected {device.compute_capability}, that of {device}, got "
                f"{compute_capability}; only TensorRT-RTX builds for another card"
            )
        system = f"{sys.platform}-{platform.machine()}"
        return Target(system, str(device), device.compute_capability)

    def runnable_targets(self) -> list[Target]:
        """Engines for these run on the GPU here; the most specific first.

        Raises:
            DeviceError: there is no GPU.
        """
        device = self._need_device("an engine runs on an NVIDIA GPU")
        if self.is_rtx:
            return [Target(ANY, ANY, cc) for cc in (device.compute_capability, ANY)]
        return [self.target()]

    def network_flags(self) -> int:
        flag = getattr(self.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def builder_config(
        self,
        builder: Any,
        *,
        compute_capability: str | None,
        version_compatible: bool,
        workspace_bytes: int | None,
    ) -> Any:
        """An IBuilderConfig.

        Raises:
            DeviceError: TensorRT-RTX does not build for this compute capability.
            EngineBuildError: as `check_version_compatible`.
        """
        config = builder.create_builder_config()
        if workspace_bytes is not None:
            config.set_memory_pool_limit(self.module.MemoryPoolType.WORKSPACE, workspace_bytes)
        if version_compatible:
            self.check_version_compatible()
            config.set_flag(self.module.BuilderFlag.VERSION_COMPATIBLE)
        if self.is_rtx and compute_capability is not None:
            config.num_compute_capabilities = 1
            config.set_compute_capability(self._rtx_capability(compute_capability), 0)
        return config

    def check_version_compatible(self) -> None:
        """Check that engines can be made to outlive this version.

        Raises:
            EngineBuildError: they cannot, as with TensorRT-RTX.
        """
        if self.is_rtx:
            raise EngineBuildError(
                f"version-compatible engines need tensorrt, got {self.name}: an engine of "
                f"TensorRT-RTX runs on the version that built it, {self.version}; compile again "
                "after an upgrade"
            )

    def runtime(self, *, version_compatible: bool) -> Any:
        """An IRuntime. A version-compatible engine brings its own host code, to be allowed."""
        runtime = self.module.Runtime(self.logger)
        runtime.engine_host_code_allowed = version_compatible
        return runtime

    def execution_context(self, engine: Any) -> Any:
        """An IExecutionContext.

        TensorRT-RTX: records CUDA graphs itself, for each shape once its kernels are specialised.
        TensorRT: has no memory for activations yet, see `set_device_memory`, so that the contexts
        of several recorded graphs can share it.
        """
        if not self.is_rtx:
            strategy = self.module.ExecutionContextAllocationStrategy.USER_MANAGED
            return engine.create_execution_context(strategy)
        config = engine.create_runtime_config()
        config.cuda_graph_strategy = self.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return engine.create_execution_context(config)

    def errors(self) -> str:
        """The last error lines of the library, "" when there are none; forgets them."""
        lines = list(self.logger.lines)
        self.logger.lines.clear()
        return "\n".join(lines)

    def _need_device(self, why: str) -> Device:
        device = self.device()
        if device is None:
            hint = f"{TENSORRT_RTX} builds without one, for desktop cards; ONNX Runtime runs on CPU"
            raise DeviceError(f"{why}; found no GPU that CUDA can use ({hint})")
        return device

    def _rtx_capability(self, compute_capability: str) -> Any:
        known = self.module.ComputeCapability.__members__
        number = compute_capability.replace(".", "")
        if "." not in compute_capability or f"SM{number}" not in known:
            numbers = [name[2:] for name in known if name.startswith("SM")]
            have = [f"{n[:-1]}.{n[-1]}" for n in numbers]
            raise DeviceError(
                f"compute capability: expected one TensorRT-RTX {self.version} builds for, {have}, "
                f"got {compute_capability!r}"
            )
        return known[f"SM{number}"]


def load_library(name: str | None = None) -> Library:
    """Import "tensorrt" or "tensorrt-rtx"; None takes the first of them that is installed.

    Raises:
        DeviceError: another name.
        DependencyError: it does not import; the message has the line that installs it.
    """
    if name is None:
        name = TENSORRT if find_spec("tensorrt") else TENSORRT_RTX
        if not find_spec(_module_name(name)):
            raise DependencyError(
                f"neither tensorrt nor tensorrt-rtx is installed. Fix: {_INSTALL[TENSORRT]}; or, "
                f"for desktop RTX cards, {_INSTALL[TENSORRT_RTX]}"
            )
    if name not in _INSTALL:
        raise DeviceError(f"library: expected one of {list(_INSTALL)}, got {name!r}")
    return _load(name)


def cuda_device() -> Device | None:
    """See `Library.device`. Asks the driver, so that it needs no package."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(handle), 0):
        return None

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), number, handle)
        return value.value

    cuda.cuDeviceGetName(name, len(name), handle)
    multiprocessors, major, minor = map(attribute, (16, 75, 76))  # CU_DEVICE_ATTRIBUTE_...
    return Device(name.value.decode(errors="replace"), f"{major}.{minor}", multiprocessors)


def _module_name(name: str) -> str:
    return name.replace("-", "_")


@lru_cache
def _load(name: str) -> Library:
    try:
        module = importlib.import_module(_module_name(name))
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        raise DependencyError(f"{name} does not import: {error}. Fix: {_INSTALL[name]}") from error
    version = str(getattr(module, "__version__", "unknown"))
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < _OLDEST[name]:
        raise DependencyError(
            f"expected {name} {_OLDEST[name]} or newer, got {version}. Fix: {_INSTALL[name]}"
        )
    return Library(
        name, version, module, _make_logger(module.ILogger), has_timing_cache=name == TENSORRT
    )


def _make_logger(base: Any) -> Any:
    class Logger(base):  # type: ignore[misc]
        """Keeps the last errors for the exceptions to come, and prints nothing."""

        def __init__(self) -> None:
            base.__init__(self)
            self.lines: deque[str] = deque(maxlen=_ERROR_LINES)

        def log(self, severity: Any, message: str) -> None:
            if severity in (base.Severity.INTERNAL_ERROR, base.Severity.ERROR):
                self.lines.append(message)

    return Logger()
