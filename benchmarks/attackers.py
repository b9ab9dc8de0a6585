"""Clients that mean no good, for `benchmarks/attack.py`: each a function that attacks until told.

    slow heads     many connections, on each a byte of a head now and then
    half bodies    many connections, on each a head and half of the body that it announces
    bombs          pictures of 49 million pixels in some kilobytes, no two alike
    big forms      15 MB in 30,000 fields and a file that is no picture

Whoever holds connections opens another one for each that the server closes.
"""

from __future__ import annotations

import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from multiprocessing.synchronize import Event
from struct import pack
from urllib.parse import urlsplit

import httpx

CONNECTIONS = 40
"""Of one attacker that holds them: more than an address may have."""
PAUSE_SECONDS = 0.2
BOMB_SIDE, FORM_BYTES, FORM_FIELDS = 7000, 15 * 2**20, 30_000
TYPE = "multipart/form-data; boundary=x"
HEAD = f"POST /v1/ground HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {TYPE}\r\n".encode()
END = b"\r\n--x--\r\n"

Attack = Callable[[str, str, Event, Counter[str]], None]
"""From an address, on a server, until it is over; counts what it got."""


def slow_heads(source: str, server: str, over: Event, got: Counter[str]) -> None:
    """A byte after each pause."""
    head = HEAD + b"X: " + 1000 * b"x"
    _hold(source, server, over, got, b"", lambda number: head[number : number + 1])


def half_bodies(source: str, server: str, over: Event, got: Counter[str]) -> None:
    """Half of a body at once, and nothing more."""
    first = HEAD + b"Content-Length: 200000\r\n\r\n" + 100_000 * b"x"
    _hold(source, server, over, got, first, lambda _: b"")


def bombs(source: str, server: str, over: Event, got: Counter[str]) -> None:
    """A grey picture, as PNG; what follows its end makes it another one for the server."""
    rows = zlib.compress(bytes(BOMB_SIDE * (BOMB_SIDE + 1)), 9)
    header = pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    start = _field("phrases", b"a dog") + _field("image", png, 'filename="x"')
    _post(source, server, over, got, lambda number: start + f"{source} {number}".encode() + END)


def big_forms(source: str, server: str, over: Event, got: Counter[str]) -> None:
    """The same form again and again."""
    fields = b"".join(_field(f"f{number}", b"x") for number in range(FORM_FIELDS))
    form = fields + _field("image", bytes(FORM_BYTES - len(fields)), 'filename="x"') + END
    _post(source, server, over, got, lambda _: form)


ATTACKS: Mapping[str, Attack] = {
    "slow heads": slow_heads,
    "half bodies": half_bodies,
    "bombs": bombs,
    "big forms": big_forms,
}


def _field(name: str, value: bytes, more: str = "") -> bytes:
    said = f'name="{name}"; {more}' if more else f'name="{name}"'
    return f"\r\n--x\r\nContent-Disposition: form-data; {said}\r\n\r\n".encode() + value


def _hold(
    source: str,
    server: str,
    over: Event,
    got: Counter[str],
    first: bytes,
    more: Callable[[int], bytes],
) -> None:
    """Send `first` on each connection, and `more` of a number after each pause."""
    where = urlsplit(server)
    held: list[tuple[socket.socket, Iterator[int]]] = []
    while not over.wait(PAUSE_SECONDS):
        while len(held) < CONNECTIONS:
            try:
                one = socket.create_connection((where.hostname, where.port), 5, (source, 0))
                one.sendall(first)
            except OSError:
                got["cut off"] += 1
                break
            one.settimeout(0)
            held.append((one, count()))
            got["connections"] += 1
        held = [(one, numbers) for one, numbers in held if _goes_on(one, more(next(numbers)))]
    for one, _ in held:
        one.close()


def _goes_on(one: socket.socket, more: bytes) -> bool:
    """Send more; whether the server has neither answered nor closed it."""
    try:
        one.send(more)
        one.recv(4096)
    except BlockingIOError:
        return True
    except OSError:
        pass
    one.close()
    return False


def _post(
    source: str, server: str, over: Event, got: Counter[str], body: Callable[[int], bytes]
) -> None:
    """Post the body of each number, and wait for the answer."""
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, timeout=60, headers={"Content-Type": TYPE}) as client:
        for number in count():
            if over.is_set():
                return
            try:
                answer = client.post(f"{server}/v1/ground", content=body(number))
                got[str(answer.status_code)] += 1
            except httpx.HTTPError:
                got["cut off"] += 1
