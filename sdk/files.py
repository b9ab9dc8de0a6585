"""Files that are the old one or the new one, whatever happens."""

import os
import secrets
from pathlib import Path

TEMPORARY = ".grounder-tmp"
"""Ends the name of a file that is being written; a killed process leaves it behind."""


def replace_file(path: Path, data: bytes) -> None:
    """Write a file under a temporary name beside `path`, then rename it to `path`.

    Raises OSError, with the old file as it was and nothing left beside it.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
