"""A benchmark's JSON: the figures of a sample, and the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from train.provenance import write_json

ROOT = Path(__file__).parents[1]
"""The repository's."""


def percentiles(values: ArrayLike, which: Sequence[int]) -> dict[str, float]:
    """ "mean", and "p95" for 95 in `which`; nothing for no values."""
    sample = np.asarray(values, float)
    if not sample.size:
        return {}
    found = {f"p{q}": round(float(np.percentile(sample, q)), 3) for q in which}
    return {"mean": round(float(sample.mean()), 3), **found}


def save(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record, in a new folder if need be, and say where it is. Raises OSError."""
    write_json(path, record)
    print(f"written to {path}")
