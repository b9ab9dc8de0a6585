"""What a number was measured on: goes into the JSON of every measurement."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

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
