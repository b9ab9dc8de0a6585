"""Which runtime runs a graph, by the name of a device."""

import logging
from pathlib import Path

from sdk.backends.openvino import OpenVinoSession
from sdk.backends.ort import PROVIDERS, OrtSession, is_made_for_ort
from sdk.backends.session import Session
from sdk.backends.tensorrt.library import TENSORRT, TENSORRT_RTX
from sdk.backends.tensorrt.session import open_engines
from sdk.bundle.manifest import Manifest

TENSORRT_DEVICES = (TENSORRT, TENSORRT_RTX)
DEVICES = ("auto", *PROVIDERS, "openvino", *TENSORRT_DEVICES)
"""What `device` may be: "auto", a provider of ONNX Runtime by its short name, another runtime."""

logger = logging.getLogger("grounder.backend")


def open_session(path: str | Path, device: str = "auto", threads: int | None = None) -> Session:
    """Load an ONNX graph.

    OpenVINO leaves a graph that is quantised for ONNX Runtime to it, on the CPU.

    Args:
        device: "auto" (CUDA if the runtime has it, else CPU) or one of `DEVICES` but TensorRT's,
            which run compiled engines: see `open_bundle`.
        threads: CPU threads per operator, None for one per physical core.

    Raises:
        DeviceError: the device or the number of threads cannot be used here.
        DependencyError: a package that runs the graph does not import.
        BundleNotFoundError: there is no such file.
        BundleCorruptError: the graph is damaged, or has data in another file.
        BackendError: the runtime cannot load the graph.
    """
    if device != OpenVinoSession.device:
        return OrtSession(path, device, threads)
    if Path(path).is_file() and is_made_for_ort(Path(path)):
        return OrtSession(path, "cpu", threads)
    return OpenVinoSession(path, threads)


def open_bundle(
    folder: Path,
    manifest: Manifest,
    precision: str,
    device: str,
    threads: int | None,
    engines: Path | None = None,
) -> dict[str, Session]:
    """A session for each graph of a bundle at a named precision, on one of `DEVICES`.

    A text graph that is quantised for ONNX Runtime, as the default bundle's, runs there whatever
    the device: its `Session.device` says so.

    Args:
        engines: where `grounder compile` put those of TensorRT, None for `engines` in the bundle.

    Raises:
        DeviceError: as `open_session`.
        DependencyError: as `open_session`.
        BundleError: as `open_session`.
        BackendError: as `open_session`.
        EngineError: for TensorRT, a graph has not been compiled, or cannot be.
    """
    if device in TENSORRT_DEVICES:
        sessions = open_engines(folder, manifest, precision, device, threads, engines)
    else:
        sessions = {
            graph: open_session(folder / file.file, device, threads)
            for graph, file in manifest.graph_files(precision).items()
        }
    for graph, session in sessions.items():
        logger.info("%s graph, %s: on %s, %s asked", graph, precision, session.device, device)
    return sessions
