"""A compiled engine and the key that it answers to."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdk.bundle.contract import GRAPHS


@dataclass(frozen=True)
class EngineKey:
    """Everything that decides whether an engine may run.

    Raises:
        ValueError: the graph is unknown.
    """

    graph: str
    precision: str
    """Of the graph's file, as "fp16"."""
    model_sha256: str
    profiles: Mapping[str, tuple[int, int, int]]
    """Smallest, typical and largest size of each open axis, by its name."""
    library: str
    version: str
    """Of the library; for version-compatible engines its major number alone."""
    platform: str
    device: str
    compute_capability: str
    version_compatible: bool

    def __post_init__(self) -> None:
        names = [graph.name for graph in GRAPHS]
        if self.graph not in names:
            raise ValueError(f"graph: expected one of {names}, got {self.graph!r}")

    @property
    def stem(self) -> str:
        """File name without suffix: the same for equal keys, and for no others."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return f"{self.graph}.{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Engine:
    """A plan whose bytes fit their description."""

    key: EngineKey
    plan: bytes
    path: Path
    seconds: float
    """That building took."""


@dataclass(frozen=True)
class Refusal:
    """TensorRT's parser does not know the graph's operators: it stays on ONNX Runtime."""

    key: EngineKey
    reason: str
