"""What every runtime offers: a graph that can be run."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from sdk.bundle.contract import TensorSpec


class Session(Protocol):
    """One graph, loaded and ready. `run` may be called from several threads."""

    @property
    def device(self) -> str:
        """What really runs the graph: one of `sdk.backends.select.DEVICES` but "auto"."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs as the file declares them."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs as the file declares them."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises:
            BackendError: the runtime failed.
        """
