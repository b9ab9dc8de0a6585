"""The options of a server, the application that they ask for, and listening."""

import argparse
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sdk._internal.arguments import number
from sdk.application import load_grounder
from sdk.errors import GroundingError
from sdk.server.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sdk.server.connections import Server

DEFAULT_PORT = 8000
STOP_SECONDS = 5
"""For requests under way when the server is stopped."""
TOKEN_VARIABLE = "GROUNDER_TOKEN"
TOKEN_CHARACTERS = 16
"""The shortest token: a shorter one can be guessed."""
LIMITS = {
    "--connections-per-client": (
        "connections_per_client",
        int,
        1,
        "N",
        "of one address, such as a proxy's",
    ),
    "--max-mib": ("body_bytes", float, 2**20, "MIB", "largest body of a request"),
    "--max-megapixels": ("pixels", float, 10**6, "MP", "largest picture"),
    "--max-phrases": ("phrases", int, 1, "N", "phrases of a request"),
    "--queue": ("queue", int, 1, "N", "requests that may wait, others get a 503"),
    "--timeout": ("seconds", float, 1, "S", "seconds for a request's head, body and answer, each"),
}
"""Option -> the field of `Limits`, its type, its unit, and what `--help` says."""
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a server, beside those of the bundle."""
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
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token that clients must send as 'Authorization: Bearer TOKEN' "
        f"(default: the environment variable {TOKEN_VARIABLE}, or no token)",
    )
    add("--tls-cert", metavar="FILE", help="PEM certificate, with its chain: serve HTTPS")
    add("--tls-key", metavar="FILE", help="its key (default: in the certificate's file)")
    limits = Limits()
    for flag, (field, kind, unit, metavar, what) in LIMITS.items():
        add(
            flag,
            type=kind,
            default=kind(getattr(limits, field) / unit),
            metavar=metavar,
            help=f"{what} (default: %(default)g)",
        )
    add(
        "--teach",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="let clients teach names, which all clients then know",
    )


def make_app(args: argparse.Namespace) -> "FastAPI":
    """The application that the options ask for. It may also raise what `Grounder.load` raises.

    Raises:
        DependencyError: a package of the server is missing.
        GroundingError: an option cannot be used.
    """
    from sdk.server import create_app  # first: a missing package is told before the model loads

    given = {}
    for flag, (field, _, unit, *_) in LIMITS.items():
        given[field] = value = getattr(args, flag[2:].replace("-", "_"))
        if unit != 1:
            given[field] = int(number(flag, value, 0.001, 1e6) * unit)
    limits = Limits(**given)
    hosts = [*_LOOPBACK_HOSTS, *args.allow_host]
    if not args.allow_host and not is_loopback(args.host):
        hosts = ["*"]
    token = read_token(args.token_file)
    grounder = load_grounder(args)
    return create_app(grounder, limits, hosts=hosts, token=token, teaching=args.teach)


def read_token(file: Path | None) -> str | None:
    """From the file, or from the environment; None where there is none.

    Raises:
        GroundingError: the file cannot be read, or the token is too short or not printable ASCII.
    """
    try:
        token = file.read_text("ascii").strip() if file else os.environ.get(TOKEN_VARIABLE)
    except (OSError, ValueError) as error:
        raise GroundingError(f"--token-file: expected a file with a token, got: {error}") from error
    if token is None:
        return None
    if len(token) < TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise GroundingError(
            f"{'--token-file' if file else TOKEN_VARIABLE}: expected a token of at least "
            f"{TOKEN_CHARACTERS} printable ASCII characters, got {len(token)} characters; make one "
            'with python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token


def serve(
    app: "FastAPI", args: argparse.Namespace, listening: Callable[[str], None] | None = None
) -> None:
    """Listen and answer until SIGINT or SIGTERM.

    Args:
        listening: called with the address as soon as connections are taken.

    Raises:
        GroundingError: as `make_server` and `listen`.
    """
    _log.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = make_server(app, args.tls_cert, args.tls_key)
    with listen(args.host, args.port) as listener:
        if not is_loopback(args.host):
            for lacks, what in (
                (not app.state.token, "it asks for no token: see --token-file"),
                (not server.config.is_ssl, "it encrypts nothing: see --tls-cert"),
            ):
                if lacks:
                    _log.warning(
                        "listening on %s for whoever reaches this machine, and %s", args.host, what
                    )
        where = address(listener, server.config.is_ssl)

        def started() -> None:
            _log.info("serving on %s, interface at /docs, stop with Ctrl-C", where)
            if listening:
                listening(where)

        server.started_hook = started
        server.run(sockets=[listener])


def make_server(
    app: "FastAPI", tls_cert: str | None = None, tls_key: str | None = None
) -> "Server":
    """A server of `create_app`'s application, under its limits.

    Raises:
        GroundingError: the certificate or its key cannot be used.
    """
    from sdk.server.connections import Connection, Server
    from sdk.server.packages import uvicorn

    if tls_key and not tls_cert:
        raise GroundingError("--tls-key: expected --tls-cert beside it, got a key alone")
    limits = app.state.limits
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=limits.head_bytes,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError among them
        raise GroundingError(
            f"--tls-cert {tls_cert}, --tls-key {tls_key}: expected a PEM certificate and its key, "
            f"got: {error}"
        ) from error
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        GroundingError: the address or port cannot be used.
    """
    try:
        options = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        # With the protocol named, unlike socket.create_server's: else asyncio leaves Nagle's
        # algorithm on, and each answer waits 40 ms for the acknowledgement of its head.
        family, kind, protocol, _, where = options[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: no name of a host
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


def address(listener: socket.socket, tls: bool = False) -> str:
    """As "http://127.0.0.1:8000"."""
    host, port = listener.getsockname()[:2]
    return f"http{'s' * tls}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
