"""Connections: a time limit for whatever a client does, and a bound for each client."""

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server as UvicornServer
from uvicorn.server import ServerState

from sdk.server.errors import BusyError, RequestError, answer
from sdk.server.limits import Limits

HEALTH = "/healthz"
"""Answered however many connections there are."""
_STAGES = 3  # of a request after its head: the body comes, it is answered, the answer is taken


class Connection(H11Protocol):
    """uvicorn's connection, under the limits of the application that it serves."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits: Limits = cast(Any, config.app).state.limits
        self._application, self.app = self.app, self._admit
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self.network = ""

    @property
    def busy(self) -> bool:
        """Whether a whole request has come and is being answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.network = network_of(self.client[0] if self.client else "")
        self._await_head()
        for bound, crowd in self._crowds():
            idle = [one for one in crowd if one is not self and not one.busy]
            if len(crowd) > bound and idle:
                share = Counter(one.network for one in crowd)
                # The oldest of who has most: who opens many pushes out nobody else's.
                victim = min(idle, key=lambda one: (-share[one.network], one._since))
                victim.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # a whole head has come
            self._allow(_STAGES * self._limits.seconds)

    def on_response_complete(self) -> None:
        self._await_head()
        super().on_response_complete()  # which goes on to a request that has come meanwhile

    def send_400_response(self, msg: str) -> None:
        refusal = answer(
            RequestError(
                f"expected HTTP/1.1 with a head of at most {self._limits.head_bytes} bytes, got "
                "something else"
            )
        )
        headers = [*refusal.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=refusal.status_code, headers=headers),
            h11.Data(data=bytes(refusal.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        full = any(sum(one.busy for one in crowd) > bound for bound, crowd in self._crowds())
        if full and scope["path"] != HEALTH:
            await answer(
                BusyError(
                    f"expected at most {self._limits.connections_per_client} requests at a time "
                    f"of one client, {self._limits.connections} of all, got one more; try again "
                    "after the seconds that Retry-After says"
                )
            )(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _crowds(self) -> Iterable[tuple[int, "list[Connection]"]]:
        """Bound and connections: of this client, of all."""
        everybody = [
            one
            for one in cast("set[Connection]", self.connections)
            if not one.transport.is_closing()
        ]
        own = [one for one in everybody if one.network == self.network]
        return (self._limits.connections_per_client, own), (self._limits.connections, everybody)

    def _await_head(self) -> None:
        self._since = self.loop.time()
        self._allow(self._limits.seconds)

    def _allow(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)


class Server(UvicornServer):
    """uvicorn's server, with a time limit for the TLS handshake, which comes before the head."""

    started_hook: Callable[[], None] | None = None
    """Called when connections are taken and Ctrl-C ends it in good order."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.is_ssl:
            loop = asyncio.get_running_loop()
            seconds = cast(Any, self.config.app).state.limits.seconds
            limited = partial(loop.create_server, ssl_handshake_timeout=seconds)
            loop.create_server = limited  # type: ignore[method-assign]
        await super().startup(sockets)
        if self.started_hook:
            self.started_hook()


def network_of(address: str) -> str:
    """What one client can have: an IPv4 address, or 64 bits of an IPv6 address."""
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(ip.ipv4_mapped or ip.packed[:8])
