"""The result: one JSONL or Parquet file, written whole or not at all."""

import os
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from sdk._internal.extras import missing
from sdk._internal.files import replacing
from sdk.batch.rows import COLUMNS, Row, as_line
from sdk.errors import GroundingError

PARQUET, JSONL = ".parquet", ".jsonl"
ROWS_PER_GROUP = 50_000
"""Of a Parquet file, and what is in memory at a time."""


def check_table(path: Path) -> None:
    """Check that `write_table` can be expected to write there, before any work is done.

    Raises:
        GroundingError: the name ends with neither .jsonl nor .parquet, or is no file in a folder.
        DependencyError: pyarrow does not import, for Parquet.
    """
    if path.suffix not in (JSONL, PARQUET):
        raise GroundingError(f"--out: expected a name ending with .jsonl or .parquet, got {path}")
    if not os.path.isdir(path.parent) or (os.path.exists(path) and not os.path.isfile(path)):
        raise GroundingError(f"--out: expected a file in a folder that exists, got {path}")
    if path.suffix == PARQUET:
        try:
            import_module("pyarrow.parquet")
        except ImportError as error:
            raise missing("parquet", error, ", or --out results.jsonl") from error


def write_table(path: Path, rows: Iterator[Row]) -> int:
    """Write rows, and return how many.

    Raises:
        OSError: it cannot be written; an older file is as it was, with nothing left beside it.
    """
    with replacing(path) as temporary:
        return (_write_parquet if path.suffix == PARQUET else _write_jsonl)(temporary, rows)


def _write_jsonl(path: Path, rows: Iterator[Row]) -> int:
    with path.open("w", encoding="utf-8") as file:
        return sum(1 for row in rows if file.write(as_line(row)))


def _write_parquet(path: Path, rows: Iterator[Row]) -> int:
    pa: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
            count += len(group)
    return count
