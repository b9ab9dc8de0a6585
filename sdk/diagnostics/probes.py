"""What `grounder doctor` looks at on a machine: hardware, system, packages.

Each probe gives one `Finding`. Nothing is imported before its own probe: a broken installation is
what they are for.
"""

import importlib
import platform
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from sdk._internal.extras import EXTRAS, Extra
from sdk.diagnostics.machine import Machine, exists, first, installed, machine, read
from sdk.errors import GroundingError

OPENCV_WHEELS = [
    f"opencv-{kind}python{window}" for kind in ("", "contrib-") for window in ("", "-headless")
]
ORT_WHEELS = ["onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    status: str
    """"ok", "absent" (of no use here, or optional), "missing" (of use here) or "problem"."""
    text: str
    fix: str = ""
    """The line to type."""
    details: Mapping[str, Any] = field(default_factory=dict)


def machine_findings() -> dict[str, Finding]:
    """Findings by name, of all but the bundle."""
    here = machine()
    probes: dict[str, Callable[[], Finding]] = {
        "gpu": lambda: _gpu(here),
        "numpy": lambda: _package("numpy", "pip install numpy", needed=True),
        "opencv": lambda: _opencv(here),
        "window": _window,
        "onnxruntime": lambda: _onnxruntime(here),
        "openvino": lambda: _package("openvino", "pip install openvino"),
        "tensorrt": lambda: _tensorrt(here),
        "tensorrt_rtx": lambda: _package("tensorrt_rtx", "pip install tensorrt-rtx"),
        "cuda_python": lambda: _cuda_python(here),
    }
    found = {name: tried(probe) for name, probe in probes.items()}
    extras = {name: _extra(extra) for name, extra in EXTRAS.items()}
    return _basics(here) | found | extras


def _basics(here: Machine) -> dict[str, Finding]:
    name = first(r'^PRETTY_NAME="?([^"\n]+)', read("etc/os-release"))
    allowed = first(r"^(\d+)$", read("sys/fs/cgroup/memory.max"))
    limit = f", {int(allowed) >> 20} MiB of it for this container" if allowed else ""
    system = f"{here.system}, {name or 'unknown'}, kernel {platform.release()}"
    system += f"; {here.memory_mib or '?'} MiB of memory{limit}"
    python = {"version": platform.python_version(), "executable": sys.executable}
    known = ", ".join(here.instructions) or "instruction sets unknown"
    cpu = {"model": here.cpu, "cores": here.cores, "instructions": here.instructions}
    mode = here.power_mode or "unknown: sudo nvpmodel -q"
    board = f"JetPack {here.jetpack or 'unknown'}, L4T {here.l4t}, power mode {mode}"
    jetson = {"l4t": here.l4t, "jetpack": here.jetpack, "power_mode": here.power_mode}
    return {
        "system": Finding("ok", system, details={"memory_mib": here.memory_mib}),
        "python": Finding("ok", f"{python['version']}, {sys.executable}", details=python),
        "cpu": Finding("ok", f"{here.cpu}, {here.cores} usable cores; {known}", details=cpu),
        "jetson": Finding("ok", board, details=jetson)
        if here.l4t
        else Finding("absent", "not a Jetson"),
    }


def _gpu(here: Machine) -> Finding:
    from sdk.backends.tensorrt.library import cuda_device

    device = cuda_device()
    details = {"gpus": here.gpus, "driver": here.driver}
    if device:
        text = f"{device}, compute capability {device.compute_capability}"
        return Finding("ok", f"{text}; {'; '.join(here.gpus)}", details=details)
    if not (here.gpus or here.driver):
        return Finding("absent", "no NVIDIA GPU", details=details)
    what = "; ".join(here.gpus) or f"driver {here.driver}"
    option = "--runtime nvidia" if here.l4t else "--gpus all"
    fix = f"in a container: docker run {option}; elsewhere install NVIDIA's driver again"
    return Finding("problem", f"{what}, but CUDA cannot use it", fix, details)


def _extra(extra: Extra) -> Finding:
    """Whether the packages of an extra are there, without importing them."""
    absent = [wheel for module, wheel in extra.wheels.items() if find_spec(module) is None]
    if not absent:
        return Finding("ok", f"{extra.use} can be used")
    return Finding("absent", f"not installed, for {extra.use}", f"pip install {' '.join(absent)}")


def _opencv(here: Machine) -> Finding:
    from sdk._internal.opencv import cv2

    wheels = installed(OPENCV_WHEELS)
    build = cv2.getBuildInformation()
    details = {
        "version": next(iter(wheels.values()), cv2.__version__),
        "wheel": next(iter(wheels), ""),
        "gui": first(r"^ *GUI: *(\S+)", build),
        "gstreamer": first(r"^ *GStreamer: *(\S+)", build) == "YES",
    }
    text = f"{details['version']}, {details['wheel'] or 'not a wheel'}, GUI {details['gui'] or '?'}"
    if len(wheels) > 1:
        fix = f"pip uninstall -y {' '.join(wheels)} && pip install opencv-python"
        return Finding("problem", f"overwriting each other: {', '.join(wheels)}", fix, details)
    if here.l4t and not details["gstreamer"]:
        text += "; without GStreamer, which CSI cameras need: use the system's, see docs/jetson.md"
    return Finding("ok", text, details=details)


def _window() -> Finding:
    from sdk.outputs.display import require_display

    try:
        require_display()
    except GroundingError as error:
        return Finding("absent", str(error))
    return Finding("ok", "can be opened")


def _onnxruntime(here: Machine) -> Finding:
    wheels = installed(ORT_WHEELS)
    reachable = here.gpus and not here.l4t  # the wheels have no kernels for a Jetson's GPU
    # 1.26 is the last whose wheel is for CUDA 12.
    gpu_wheel = f'"onnxruntime-gpu[cuda,cudnn]{"" if here.cuda >= 13 else "<1.27"}"'
    install = f"pip install {gpu_wheel if reachable else 'onnxruntime'}"
    again = f"pip uninstall -y {' '.join(wheels)} && {install}"
    module = imported("onnxruntime")
    if isinstance(module, ImportError):
        return Finding("problem", f"does not import: {module}", again if wheels else install)
    providers = module.get_available_providers()
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    details = {
        "version": next(iter(wheels.values()), module.__version__),
        "wheel": next(iter(wheels), ""),
        "providers": providers,
    }
    text = f"{details['version']}, {details['wheel'] or 'not a wheel'}: {names}"
    if len(wheels) > 1:
        return Finding("problem", f"overwriting each other: {', '.join(wheels)}", again, details)
    if reachable and "CUDAExecutionProvider" not in providers:
        return Finding("missing", f"{text}; it cannot use the GPU", again, details)
    return Finding("ok", text, details=details)


def _tensorrt(here: Machine) -> Finding:
    if not here.l4t:
        return _package("tensorrt", f"pip install tensorrt-cu{here.cuda}", needed=bool(here.gpus))
    # JetPack brings it for the system's Python; never from pip there.
    shipped = exists("usr/lib/python3*/dist-packages/tensorrt")
    seen = f"/usr/bin/python3 -m venv --system-site-packages {shlex.quote(sys.prefix)}"
    fix = seen if shipped else "sudo apt-get install python3-libnvinfer"
    return _package("tensorrt", fix, needed=True)


def _cuda_python(here: Machine) -> Finding:
    fix = f'pip install "cuda-python=={here.cuda}.*"'
    return _package("cuda.bindings.runtime", fix, bool(here.gpus), "cuda-bindings")


def _package(module: str, fix: str, needed: bool = False, wheel: str = "") -> Finding:
    found = imported(module)
    if isinstance(found, ModuleNotFoundError) and module.startswith(found.name or module):
        return Finding("missing" if needed else "absent", "not installed", fix)
    if isinstance(found, ImportError):
        again = fix.replace("pip install", "pip install --force-reinstall")
        return Finding("problem", f"does not import: {found}", again)
    wheels = installed([wheel or module.replace("_", "-")])
    version = next(iter(wheels.values()), getattr(found, "__version__", "unknown version"))
    return Finding("ok", version, details={"version": version})


def tried(probe: Callable[[], Finding]) -> Finding:
    """A probe that fails is a finding, too."""
    try:
        return probe()
    except Exception as error:
        return problem(error)


def imported(name: str) -> Any:
    """The module, or the ImportError that says why there is none."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        return error
    except Exception as error:  # a library may raise what it likes while it is imported
        return ImportError(problem(error).text)


def problem(error: Exception) -> Finding:
    """What went wrong, and apart from it how to mend it."""
    kind = "" if isinstance(error, GroundingError) else f"{type(error).__name__}: "
    text, _, fix = " ".join(f"{kind}{error}".split()).partition(" Fix: ")
    return Finding("problem", text.removesuffix("."), fix)
