"""Pickles that are data: read without the power to run any code, NumPy arrays included."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from train.data.samples import DataError

_MULTIARRAY = import_module(np.ndarray.__reduce__(np.empty(0))[0].__module__)
"""Where this NumPy's function lives that a pickled array is made by."""
ARRAYS: dict[str, Any] = {
    "_reconstruct": _MULTIARRAY._reconstruct,
    "scalar": np.float64(0).__reduce__()[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}
"""What makes a NumPy array or number of bytes, by name; none of it runs code of the file's."""
ARRAY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")


def encode(text: str, encoding: str) -> bytes:
    """What old pickles write bytes with, for the one encoding they use."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it wants to encode as {encoding}")
    return text.encode("latin1")


class PlainUnpickler(pickle.Unpickler):
    """Lists, dicts, strings, numbers and arrays; anything else that is imported is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ARRAY_MODULES and name in ARRAYS:
            return ARRAYS[name]
        if (module, name) == ("_codecs", "encode"):
            return encode
        raise pickle.UnpicklingError(f"it wants to import {module}.{name}")


def load_pickle(path: Path, *, trust: bool) -> Any:
    """A plain pickle, or one that torch saved (.pth); without `trust` neither can run code.

    Raises:
        DataError: it needs more than plain data.
    """
    try:
        if path.suffix == ".pth":
            return _load_torch(path, trust=trust)
        with path.open("rb") as file:
            return (pickle.Unpickler if trust else PlainUnpickler)(file).load()
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: cannot be read as plain data ({reason}); if you trust where it comes from, "
            "give --trust-pickle"
        ) from error


def _load_torch(path: Path, *, trust: bool) -> Any:
    known: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (ARRAYS[name], f"{module}.{name}") for module in ARRAY_MODULES for name in ARRAYS
    ]
    kinds = [type(np.dtype(code)) for code in np.typecodes["AllInteger"] + "efdg?"]
    with torch.serialization.safe_globals([*known, *kinds, (encode, "_codecs.encode")]):
        return torch.load(path, weights_only=not trust)
