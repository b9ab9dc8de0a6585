"""Inference runtimes behind one small interface."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from sdk.backends.ort import OrtSession
from sdk.contract import TensorSpec

__all__ = ["Session", "open_session"]


class Session(Protocol):
    """One graph, loaded and ready. `run` may be called from several threads."""

    @property
    def device(self) -> str:
        """What really runs the graph: "cpu", "cuda" or "tensorrt"."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs as the file declares them."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs as the file declares them."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name. Raises BackendError."""


def open_session(path: str | Path, device: str = "auto", threads: int | None = None) -> Session:
    """Load an ONNX graph.

    `device`: "auto" (CUDA if the runtime has it, else CPU), "cpu", "cuda" or "tensorrt".
    `threads`: CPU threads per operator, None for one per physical core.

    Raises DeviceError, BundleNotFoundError, BundleCorruptError, BackendError.
    """
    return OrtSession(path, device, threads)
