"""What one request, and all that wait together, may cost."""

from dataclasses import dataclass, fields

from sdk.bundle.contract import PHRASES_PER_CALL
from sdk.errors import GroundingError


@dataclass(frozen=True)
class Limits:
    """Limits of a server. Raises GroundingError where one is not positive."""

    body_bytes: int = 16 * 2**20
    """Bytes of a request's body. Base64 takes a third more than the picture itself."""
    pixels: int = 50_000_000
    """Width times height of a picture, known before it is decoded."""
    phrases: int = PHRASES_PER_CALL
    """Phrases of one request."""
    phrase_characters: int = 200
    """Characters of one phrase."""
    alternatives: int = 16
    """Other places of one phrase."""
    queue: int = 64
    """Requests that may wait for the worker; a further one is refused with 503."""
    seconds: float = 10.0
    """For reading a request, and again for answering it."""
    frames: int = 8
    """Encoded frames, and regions of frames, that are kept for requests to come."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not (value := getattr(self, field.name)) > 0:
                raise GroundingError(f"{field.name}: expected a positive number, got {value}")
