"""What one request, one client, and all of them together may cost."""

from dataclasses import dataclass, fields

from sdk._internal.arguments import number, whole
from sdk.bundle.contract import PHRASES_PER_CALL

MOST_SECONDS = 1e6


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Raises:
        ArgumentError: one of them is not positive.
    """

    connections: int = 128
    """Open connections, of all clients. Beyond it the oldest without a whole request, of the client
    that has most, is closed, and further requests but those for /healthz are refused."""
    connections_per_client: int = 32
    """The same for each client address; for IPv6, for each network of 64 bits."""
    seconds: float = 10.0
    """For a request's head, for its body, for its answer, and for taking the answer, each."""
    idle_seconds: int = 5
    """How long a connection stays open between requests."""
    head_bytes: int = 16 * 2**10
    """Bytes of a request's head."""
    body_bytes: int = 16 * 2**20
    """Bytes of a request's body. Base64 takes a third more than the picture itself."""
    pixels: int = 50_000_000
    """Width times height of a picture, known before it is decoded."""
    header_reads: int = 2000
    """Reads of a picture's file until its size is known: about four a block of metadata."""
    scans: int = 32
    """Passes over the largest picture; a smaller one may have more. A progressive JPEG has ten."""
    phrases: int = PHRASES_PER_CALL
    """Phrases of one request."""
    phrase_characters: int = 200
    """Characters of one phrase."""
    alternatives: int = 16
    """Other places of one phrase."""
    queue: int = 64
    """Requests that may wait to be grounded; a further one is refused."""
    decoders: int = 2
    """Pictures that are decoded, or decoded and not yet looked at, at a time."""
    frames: int = 8
    """Encoded frames, and regions of frames, that are kept for requests to come."""

    @property
    def commas(self) -> int:
        """In a JSON body: what the largest request may hold.

        A million values would take the parser, and with it everybody, seconds.
        """
        return self.phrases * (self.phrase_characters + 1) + 100

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float:
                number(field.name, value, 0, MOST_SECONDS, above=True)
            else:
                whole(field.name, value, 1)
