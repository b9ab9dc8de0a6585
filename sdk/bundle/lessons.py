"""What was taught after a bundle was made, as inputs of its fusion graph."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sdk.bundle.contract import FUSION, TensorSpec


def nothing_taught(inputs: Iterable[TensorSpec]) -> dict[str, NDArray[np.float32]]:
    """Zeros for the optional ones among the inputs that a fusion graph declares."""
    optional = {tensor.name for tensor in FUSION.inputs if tensor.optional}
    return {
        tensor.name: np.zeros(
            [size if isinstance(size, int) else 1 for size in tensor.shape], np.float32
        )
        for tensor in inputs
        if tensor.name in optional
    }
