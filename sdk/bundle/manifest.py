"""`manifest.json`: what a bundle is, what it needs, and the hash of every file in it.

    {
      "schema_version": 1,
      "name": "...", "method": "m2ist", "encoders": {"vision": "...", "text": "..."},
      "preprocess": {"width": 384, "height": 384, "mean": [...], "std": [...]},
      "tokenizer": {"vocab_file": "vocab.txt", "max_tokens": 64, "words_file": "words.txt"},
      "graphs": {"vision": {"fp32": {"file": "...", "sha256": "...", "bytes": 0}, ...}, ...},
      "precisions": {"int8": {"vision": "int8", "text": "int8", "fusion": "fp32"}, ...},
      "default_precision": "int8",
      "files": {"vocab.txt": "<sha256>", "words.txt": "<sha256>", ...},
      "calibration": {"scale": 1.0, "bias": 0.0}, "threshold": 0.5,
      "instance_calibration": {"scale": 1.0, "bias": 0.0}, "instance_threshold": 0.5,
      "teaching_file": "teaching.safetensors",
      "metrics": {...}, "source_checkpoint": "<sha256>", "licence": "...", "training_data": "..."
    }

Preprocessing, vocabulary and calibration are data beside the weights, never numbers in code.
"""

import dataclasses
import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sdk._internal.arguments import choice
from sdk._internal.files import holds, replace_file
from sdk._internal.hashing import sha256_file
from sdk.bundle.calibration import IDENTITY, Calibration
from sdk.bundle.contract import GRAPHS
from sdk.bundle.preprocess import Preprocess
from sdk.bundle.schema import decode
from sdk.bundle.tokenizer import TokenizerSpec
from sdk.errors import (
    BundleCorruptError,
    BundleMismatchError,
    BundleNotFoundError,
    PrecisionError,
)

SCHEMA_VERSION = 1
NVIDIA_DEVICES = ("cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx")
"""All of their GPUs since 2017 are faster in FP16."""
MANIFEST_NAME = "manifest.json"
MOST_BYTES = 1 << 24
"""Of a manifest, whose metrics take a few thousand."""
_EXTERNAL = b"\x0a\x08location\x12"
"""In a graph's bytes where a tensor's data are in another file (`TensorProto.external_data`)."""
_GRAPH_NAMES = {graph.name for graph in GRAPHS}


@dataclass(frozen=True)
class Encoders:
    """Names of the frozen encoders."""

    vision: str
    text: str


@dataclass(frozen=True)
class GraphFile:
    """One ONNX file."""

    file: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        _check_file_name("file", self.file)
        _check_sha256("sha256", self.sha256)


@dataclass(frozen=True)
class Manifest:
    """The typed content of `manifest.json`.

    Raises:
        ValueError: its parts contradict.
    """

    name: str
    method: str
    encoders: Encoders
    preprocess: Preprocess
    tokenizer: TokenizerSpec
    graphs: Mapping[str, Mapping[str, GraphFile]]
    """Graph name -> precision -> file."""
    precisions: Mapping[str, Mapping[str, str]]
    """Name a user may ask for -> graph name -> precision of that graph's file."""
    default_precision: str
    files: Mapping[str, str]
    """sha256 of every file that is not a graph."""
    calibration: Calibration
    threshold: float
    """An object counts as found from this score on."""
    metrics: Mapping[str, Any]
    source_checkpoint: str
    """sha256 of the checkpoint the graphs were exported from."""
    licence: str
    training_data: str
    instance_calibration: Calibration = IDENTITY
    """Of the fusion graph's `member_logits`, where it gives them."""
    instance_threshold: float = 0.5
    """From which of these scores on a candidate is one of the things that a phrase names."""
    teaching_file: str = ""
    """Name of the file that names are taught with, see `sdk.lessons.background`; "" = none can."""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if set(self.graphs) != _GRAPH_NAMES:
            raise ValueError(f"graphs: expected {sorted(_GRAPH_NAMES)}, got {sorted(self.graphs)}")
        for name, sha256 in self.files.items():
            _check_file_name("files", name)
            _check_sha256(f"files.{name}", sha256)
        stated = dict(self.files)
        for file in (file for kinds in self.graphs.values() for file in kinds.values()):
            if stated.setdefault(file.file, file.sha256) != file.sha256:
                raise ValueError(f"{file.file}: expected one sha256, got several")
        for name in self.files_beside_graphs:
            if name not in self.files:
                raise ValueError(f"files: expected {name!r} among them")
        for precision, chosen in self.precisions.items():
            key = f"precisions.{precision}"
            if set(chosen) != _GRAPH_NAMES:
                raise ValueError(f"{key}: expected {sorted(_GRAPH_NAMES)}, got {sorted(chosen)}")
            for graph, kind in chosen.items():
                if kind not in self.graphs[graph]:
                    have = sorted(self.graphs[graph])
                    raise ValueError(f"{key}.{graph}: expected one of {have}, got {kind!r}")
        if self.default_precision not in self.precisions:
            raise ValueError(
                f"default_precision: expected one of {sorted(self.precisions)}, "
                f"got {self.default_precision!r}"
            )
        for key in ("calibration", "instance_calibration"):
            if not getattr(self, key).scale > 0:
                raise ValueError(f"{key}.scale: expected above 0, got {getattr(self, key).scale}")
        for key in ("threshold", "instance_threshold"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: expected a number in [0, 1], got {getattr(self, key)}")

    @property
    def files_beside_graphs(self) -> list[str]:
        """What a Grounder reads beside the graphs."""
        return [*self.tokenizer.files, *filter(None, [self.teaching_file])]

    @classmethod
    def load(cls, folder: str | Path) -> "Manifest":
        """Read and check `folder`/manifest.json; the files it names are left to `verify`.

        Raises:
            BundleNotFoundError: there is no manifest.
            BundleMismatchError: the manifest has another schema version.
            BundleCorruptError: the manifest is damaged; the message names the key.
        """
        path = Path(folder) / MANIFEST_NAME
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                raise BundleCorruptError(
                    f"expected {path} to be a file of at most {MOST_BYTES} bytes"
                )
            data = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleNotFoundError(
                f"expected a bundle folder with {MANIFEST_NAME}, found none at {folder}; give the "
                "folder that export/build_engine.py wrote"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise BundleCorruptError(f"{path} is not readable JSON: {error}") from error
        version = data.get("schema_version") if isinstance(data, dict) else None
        if type(version) is not int:
            raise BundleCorruptError(f"{path}: schema_version: expected int, got {version!r}")
        if version != SCHEMA_VERSION:
            raise BundleMismatchError(
                f"expected manifest schema {SCHEMA_VERSION}, got {version} in {path}; "
                f"{'upgrade grounder' if version > SCHEMA_VERSION else 'export the bundle again'}"
            )
        try:
            manifest = decode(cls, data)
            _encoded(dataclasses.asdict(manifest))  # or it could not be printed and saved
            return manifest
        except (ValueError, RecursionError) as error:
            raise BundleCorruptError(f"{path}: {error}; export the bundle again") from error

    def save(self, folder: str | Path) -> None:
        """Write `folder`/manifest.json, replacing an old one in one step."""
        replace_file(Path(folder) / MANIFEST_NAME, _encoded(dataclasses.asdict(self)))

    def graph_files(self, precision: str) -> dict[str, GraphFile]:
        """Graph name -> file.

        Args:
            precision: a name the bundle carries, or "auto".

        Raises:
            PrecisionError: the bundle does not carry the precision.
        """
        name, _ = self.resolve_precision(precision)
        return {graph: self.graphs[graph][kind] for graph, kind in self.precisions[name].items()}

    def resolve_precision(self, precision: str, device: str = "cpu") -> tuple[str, str]:
        """The name that `precision` stands for, and why.

        Args:
            precision: a name the bundle carries, or "auto": the bundle's default, but "fp16" on an
                NVIDIA GPU that was asked for, where the bundle carries it.
            device: what was asked for.

        Raises:
            PrecisionError: the bundle does not carry the precision.
        """
        carried = ["auto", *sorted(self.precisions)]
        advice = "; export/build_engine.py adds others to a bundle"
        choice("precision", precision, carried, error=PrecisionError, advice=advice)
        if precision != "auto":
            return precision, "asked for"
        if device in NVIDIA_DEVICES and "fp16" in self.precisions:
            return "fp16", "an NVIDIA GPU was asked for"
        return self.default_precision, "the bundle's choice"

    def verify(self, folder: str | Path, names: Collection[str] | None = None) -> None:
        """Check size and sha256 of files.

        Args:
            names: the files to check, None for all that the manifest lists.

        Raises:
            BundleNotFoundError: a file is missing; the message names it.
            BundleCorruptError: a file is not the one that the manifest lists; the message names it.
        """
        graph_files = [file for kinds in self.graphs.values() for file in kinds.values()]
        sizes = {file.file: file.bytes for file in graph_files}
        hashes = {file.file: file.sha256 for file in graph_files} | dict(self.files)
        for name in hashes if names is None else names:
            path = Path(folder) / name
            if not os.path.isfile(path):  # Path.is_file raises for what is too long for a name
                raise BundleNotFoundError(
                    f"the bundle {folder} has no {name}, which its manifest lists; copy or export "
                    "the bundle again"
                )
            if not os.access(path, os.R_OK):
                raise BundleCorruptError(f"{path} cannot be read: permission denied")
            size = path.stat().st_size
            if size != sizes.get(name, size):
                raise BundleCorruptError(
                    f"expected {path} to have {sizes[name]} bytes, got {size}; copy or export the "
                    "bundle again (with Git LFS: git lfs pull)"
                )
            if name in sizes and holds(path, _EXTERNAL):
                raise BundleCorruptError(
                    f"expected {path} to hold its weights itself, got tensors in another file, "
                    "which no hash covers; export the bundle again"
                )
            digest = sha256_file(path)
            if digest != hashes[name]:
                raise BundleCorruptError(
                    f"expected {path} to have sha256 {hashes[name]}, got {digest}; copy or export "
                    "the bundle again"
                )


def _encoded(data: object) -> bytes:
    """JSON in UTF-8. Raises ValueError for a number or a half of a character that has no form."""
    return f"{json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()


def _check_file_name(key: str, name: str) -> None:
    """A manifest may come from anywhere: its names must not reach outside its folder."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", name):
        raise ValueError(f"{key}: expected a name inside the bundle folder, got {name!r}")


def _check_sha256(key: str, value: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError(f"{key}: expected a sha256 as 64 lower-case hex digits, got {value!r}")
