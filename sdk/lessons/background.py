"""What a bundle brings along to be taught with: things of other pictures, and nouns.

`teaching.safetensors` holds looks of candidate boxes on training photos, numbers alone, and nouns
that the model knows. The first nouns find most of what there is; all of them find most precisely.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from sdk._internal.files import DAMAGED, replace_file
from sdk.errors import BundleCorruptError

FILE_NAME = "teaching.safetensors"
SHRINKAGE = 0.05
"""Of the variances of what is in a box, toward their mean: few examples must not turn on noise."""


class Background:
    """What things of other pictures look like.

    Args:
        looks: (B, F) of candidate boxes. nouns: the most useful first.
    """

    def __init__(self, looks: NDArray[np.float16], nouns: list[str]) -> None:
        self.looks, self.nouns = looks.astype(np.float32), nouns
        self.mean = self.looks.mean(0)

    @cached_property
    def whitening(self) -> NDArray[np.floating[Any]]:
        """(F, F): (looks - mean) @ whitening are uncorrelated, of about equal variance."""
        variances, axes = np.linalg.eigh(np.cov(self.looks.T))
        whitening: NDArray[np.floating[Any]]
        whitening = axes / np.sqrt(variances + SHRINKAGE * variances.mean())
        return whitening

    def whitened(self, looks: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """(K, F) -> (K, F)."""
        white: NDArray[np.floating[Any]] = (looks - self.mean) @ self.whitening
        return white

    @cached_property
    def white(self) -> NDArray[np.floating[Any]]:
        """(B, F) its own looks, whitened."""
        return self.whitened(self.looks)

    def save(self, folder: Path) -> None:
        """Write `FILE_NAME`."""
        about = {"nouns": json.dumps(self.nouns)}
        replace_file(folder / FILE_NAME, save({"looks": self.looks.astype(np.float16)}, about))

    @classmethod
    def load(cls, path: Path) -> "Background":
        """Read what `save` wrote.

        Raises:
            BundleCorruptError: it cannot be read.
        """
        try:
            with safe_open(path, "numpy") as file:
                nouns = json.loads((file.metadata() or {})["nouns"])
                looks = file.get_tensor("looks")
            if looks.dtype != np.float16 or looks.ndim != 2 or not np.isfinite(looks).all():
                raise ValueError("expected finite float16 looks (B, F)")
            if not (isinstance(nouns, list) and nouns and all(isinstance(n, str) for n in nouns)):
                raise ValueError("expected a list of nouns")
            return cls(looks, nouns)
        except DAMAGED as error:
            raise BundleCorruptError(f"{path} cannot be read: {error}") from error
