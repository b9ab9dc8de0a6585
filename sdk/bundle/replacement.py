"""A bundle that is replaced while it is being loaded: neither one, so none is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdk.bundle.manifest import MANIFEST_NAME
from sdk.errors import BundleCorruptError, GroundingError


@contextmanager
def unreplaced(folder: Path) -> Iterator[None]:
    """Hold a block that loads a bundle, from its manifest to its last graph, to one bundle.

    Raises:
        BundleCorruptError: there is another manifest than at the beginning of the block.
    """
    before = _identity(folder)
    failure: Exception | None = None
    try:
        yield
    except (GroundingError, OSError) as error:  # perhaps because of that
        failure = error
    if _identity(folder) != before:
        raise BundleCorruptError(
            f"expected {folder} to stay as it is while it is loaded, got another bundle in its "
            "place; load it again"
        ) from failure
    if failure:
        raise failure


def _identity(folder: Path) -> tuple[int, int] | None:
    """Of the manifest's file: another one has another number or was made at another time."""
    try:
        status = (folder / MANIFEST_NAME).stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_ctime_ns
