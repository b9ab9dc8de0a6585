"""The JSON of every measurement, and what its numbers were measured on."""

from __future__ import annotations

import json
import math
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sdk._internal.files import replace_file
from sdk.diagnostics.machine import machine

CHANGES = ["status", "--porcelain", "-uno", ".", ":!benchmarks/results"]
"""Of `git`. What earlier measurements wrote makes no other program."""


def commit() -> str:
    """The repository's commit, with "+" appended if files differ from it; "unknown" outside git."""
    root = Path(__file__).parents[1]
    try:
        head, changes = (
            subprocess.run(
                ["git", *args], cwd=root, capture_output=True, text=True, check=True
            ).stdout
            for args in (["rev-parse", "--short", "HEAD"], CHANGES)
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("+" if changes else "")


def describe() -> dict[str, Any]:
    """The hardware as `sdk.diagnostics.machine.Machine` has it, versions and commit."""
    return {
        **asdict(machine()),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "commit": commit(),
    }


def as_json(value: Any, form: str = "") -> Any:
    """A value of JSON's types, with None for what JSON cannot say: NaN is "no such phrases".

    Args:
        value: mappings, lists, tuples and what may stand in them.
        form: how numbers with a fraction are rounded, as ".5g"; as they are if left out.
    """
    if isinstance(value, Mapping):
        return {key: as_json(item, form) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item, form) for item in value]
    if isinstance(value, float):
        return float(f"{value:{form}}") if math.isfinite(value) else None
    return value


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record `as_json`, replacing an old file in one step, in a new folder if need be.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{json.dumps(as_json(record), indent=1)}\n".encode())
