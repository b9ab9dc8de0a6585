"""What files are known by."""

import hashlib
from pathlib import Path


def sha256_file(path: str | Path) -> str:
    """Lower-case hex digest of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
