"""What is refused before the application sees it, and bodies that are too large or too slow."""

import asyncio
import hmac
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdk.server.errors import (
    HttpError,
    MediaTypeError,
    OriginError,
    RequestError,
    SlowRequestError,
    TokenError,
    TooLargeError,
    answer,
)
from sdk.server.limits import Limits
from sdk.server.packages import parse_options_header

FORM, JSON = "multipart/form-data", "application/json"


class Guard:
    """ASGI middleware.

    Args:
        check_room: raises HttpError where no further upload should be taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        hosts: Sequence[str],
        token: str | None,
        protected: Sequence[str],
        uploads: Sequence[str],
        check_room: Callable[[], None],
    ) -> None:
        self._app, self._limits, self._token = app, limits, token
        self._hosts = {host.lower().strip("[]") for host in hosts}
        self._protected, self._uploads, self._check_room = protected, uploads, check_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            self._check(scope["method"], scope["path"], headers)
        except HttpError as error:
            await answer(error)(scope, receive, send)
            return
        is_json = headers.get("content-type", "").lower().startswith(JSON)
        await self._app(scope, self._bounded(receive, is_json), send)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._hosts & {"*", _name(host)}:
            raise RequestError(
                f"expected a Host that this server answers to, got {host[:80]!r}; name it with "
                "--allow-host"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("//")[2].lower() != host.lower():
            raise OriginError(
                f"expected a request of this server's own pages, at {host[:80]!r}, got one of "
                f"{origin[:80]!r}; ask from a program, or let a proxy serve both"
            )
        given = headers.get("authorization", "").encode("latin-1")
        if (
            self._token
            and path.startswith(tuple(self._protected))
            and not hmac.compare_digest(given, f"Bearer {self._token}".encode())
        ):
            raise TokenError(
                "expected this server's token, got none or another; send the header "
                "'Authorization: Bearer TOKEN'"
            )
        if method == "POST" and path in self._uploads:
            self._check_room()
            self._check_body(headers)

    def _check_body(self, headers: Headers) -> None:
        given = headers.get("content-type", "")
        kind, options = parse_options_header(given)
        if kind not in (FORM.encode(), JSON.encode()):
            raise MediaTypeError(
                f"expected a body of type {FORM} or {JSON}, got {given[:60] or 'none'!r}; see /docs"
            )
        # The form's parser would take any codec, and some take quadratic time.
        if options.get(b"charset", b"utf-8").lower() != b"utf-8":
            raise MediaTypeError(f"expected charset utf-8 or none, got {given[:80]!r}; send UTF-8")
        if int(headers.get("content-length", "0")) > self._limits.body_bytes:
            raise self._too_large()

    def _bounded(self, receive: Receive, is_json: bool) -> Receive:
        """`receive`, but TooLargeError or SlowRequestError as soon as a limit is passed."""
        limits = self._limits
        deadline = asyncio.get_running_loop().time() + limits.seconds
        taken = commas = 0
        more = True

        async def bounded() -> Message:
            nonlocal taken, commas, more
            if not more:  # waits for the client to leave
                return await receive()
            left = deadline - asyncio.get_running_loop().time()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0))
            except asyncio.TimeoutError:
                raise SlowRequestError(
                    f"expected the whole request within {limits.seconds:g} s; send a smaller "
                    "picture"
                ) from None
            more = message.get("more_body", False)
            body = message.get("body", b"")
            taken += len(body)
            commas += body.count(b",") if is_json else 0
            if taken > limits.body_bytes:
                raise self._too_large()
            if commas > limits.commas:
                raise RequestError(
                    f"expected a JSON object with at most {limits.phrases} phrases, got more than "
                    f"{limits.commas} commas; see /docs"
                )
            return message

        return bounded

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"expected a body of at most {self._limits.body_bytes} bytes, got more; scale the "
            "picture down or compress it"
        )


def _name(host: str) -> str:
    """Of a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
