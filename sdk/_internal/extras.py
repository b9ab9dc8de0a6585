"""What `pip install .` leaves out, and the line that installs it."""

from collections.abc import Mapping
from dataclasses import dataclass

from sdk.errors import DependencyError


@dataclass(frozen=True)
class Extra:
    """Packages that one use needs beyond the runtime's."""

    use: str
    """What they are for, as `grounder doctor` says it."""
    wheels: Mapping[str, str]
    """Module -> distribution."""

    @property
    def install(self) -> str:
        """The line to type."""
        return f"pip install {' '.join(self.wheels.values())}"


EXTRAS = {
    "serve": Extra(
        "`grounder serve`",
        {
            "fastapi": "fastapi",
            "fastapi_offline": "fastapi-offline",
            "uvicorn": "uvicorn",
            "python_multipart": "python-multipart",
            "prometheus_client": "prometheus-client",
            "PIL": "pillow",
        },
    ),
    "batch": Extra("`grounder batch`", {"filelock": "filelock"}),
    "parquet": Extra("`grounder batch --out x.parquet`", {"pyarrow": "pyarrow"}),
    "supervision": Extra("results in supervision's form", {"supervision": "supervision"}),
}
"""By the name that `grounder doctor` has for it."""


def missing(name: str, error: ImportError, instead: str = "") -> DependencyError:
    """What to raise where a package of an extra does not import.

    Args:
        instead: what else can be done, appended to the line that installs it.
    """
    extra = EXTRAS[name]
    return DependencyError(
        f"{extra.use} needs a package that does not import: {error}. Fix: {extra.install}{instead}"
    )
