"""The options of a server, the application that they ask for, and listening."""

import argparse
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from sdk.application import load_grounder
from sdk.errors import GroundingError
from sdk.server.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

DEFAULT_PORT = 8000
STOP_SECONDS = 5
"""For requests under way when the server is stopped."""
MAX_CONNECTIONS = 128
"""Times the largest body: what uploads can take in memory at worst."""
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a server, beside those of the bundle."""
    limits = Limits()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="0: any free one (default: %(default)s)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="one more name in the Host header to answer to, as a proxy passes on; all, where "
        "--host is not loopback and none is given",
    )
    add(
        "--max-mib",
        type=float,
        default=limits.body_bytes / 2**20,
        metavar="MIB",
        help="largest body of a request (default: %(default)g)",
    )
    add(
        "--max-megapixels",
        type=float,
        default=limits.pixels / 1e6,
        metavar="MP",
        help="largest picture (default: %(default)g)",
    )
    add(
        "--max-phrases",
        type=int,
        default=limits.phrases,
        metavar="N",
        help="phrases of a request (default: %(default)s)",
    )
    add(
        "--queue",
        type=int,
        default=limits.queue,
        metavar="N",
        help="requests that may wait, others get a 503 (default: %(default)s)",
    )
    add(
        "--timeout",
        type=float,
        default=limits.seconds,
        metavar="S",
        help="seconds for reading a request, and again for answering it (default: %(default)g)",
    )


def make_app(args: argparse.Namespace) -> "FastAPI":
    """The application that the options ask for.

    Raises DependencyError, GroundingError where the address cannot be used, and the errors of
    `Grounder.load`.
    """
    from sdk.server import create_app  # first: a missing package is told before the model loads

    for name in ("max_mib", "max_megapixels"):
        if not 0.001 <= getattr(args, name) <= 1e6:  # false for nan, too
            option = f"--{name.replace('_', '-')}"
            got = getattr(args, name)
            raise GroundingError(f"{option}: expected a number from 0.001 to 1e6, got {got}")
    limits = Limits(
        body_bytes=int(args.max_mib * 2**20),
        pixels=int(args.max_megapixels * 1e6),
        phrases=args.max_phrases,
        queue=args.queue,
        seconds=args.timeout,
    )
    hosts = [*_LOOPBACK_HOSTS, *args.allow_host]
    if not args.allow_host and not is_loopback(args.host):
        hosts = ["*"]
    return create_app(load_grounder(args), limits, hosts=hosts)


def serve(
    app: "FastAPI", args: argparse.Namespace, listening: Callable[[str], None] | None = None
) -> None:
    """Listen and answer until SIGINT or SIGTERM. Raises GroundingError.

    `listening`: called with the address as soon as connections are taken.
    """
    from sdk.server.packages import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with listen(args.host, args.port) as listener:
        if not is_loopback(args.host):
            _log.warning(
                "listening on %s: whoever reaches this machine can use the server; it asks for no "
                "password and encrypts nothing. Put a proxy with TLS in front of it.",
                args.host,
            )
        _log.info("serving on %s, interface at /docs, stop with Ctrl-C", address(listener))
        if listening:
            listening(address(listener))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises GroundingError."""
    try:
        options = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        # With the protocol named, unlike socket.create_server's: else asyncio leaves Nagle's
        # algorithm on, and each answer waits 40 ms for the acknowledgement of its head.
        family, kind, protocol, _, where = options[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise _cannot_listen(host, port, error) from error
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((where[0], port, *where[2:]))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: Exception) -> GroundingError:
    return GroundingError(
        f"cannot listen on {host!r}, port {port}: {error}; choose another --host or --port"
    )


def address(listener: socket.socket) -> str:
    """As "http://127.0.0.1:8000"."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
