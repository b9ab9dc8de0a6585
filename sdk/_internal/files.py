"""Files that are the old one or the new one, whatever happens."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from mmap import ACCESS_READ, mmap
from pathlib import Path

from safetensors import SafetensorError

TEMPORARY = ".grounder-tmp"
"""Ends the name of a file that is being written; a killed process leaves it behind."""

DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    RecursionError,
    SafetensorError,
    TypeError,
    AttributeError,
)
"""What reading a damaged .safetensors raises; the last two for types that NumPy does not know."""


def remove_unfinished(path: Path) -> None:
    """Delete what killed processes have left of writing `path`, which nobody may be writing now."""
    for left in path.parent.glob(f"{escape(path.name)}.*{TEMPORARY}"):
        left.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write a file to, which is `path` after the block.

    Where the block raises, the old file is as it was and nothing is left beside it. Of a link, what
    it leads to is replaced; what is no file, as /dev/stdout, is written to as it is.

    Raises:
        OSError: the file cannot be written.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield path
        return
    try:
        path = path.resolve()
    except RuntimeError as error:  # before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` as a whole.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def holds(path: Path, *parts: bytes) -> bool:
    """Whether a file, which may be empty, has one of the parts among its bytes."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return any(content.find(part) >= 0 for part in parts)
