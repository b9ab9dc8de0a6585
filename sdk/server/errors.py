"""What a request can be refused for, beside the picture and the phrases themselves."""

from collections.abc import Mapping
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from sdk.errors import GroundingError


class HttpError(GroundingError, HTTPException):
    """Base class. Carries the status of the answer and headers that come with it."""

    status: ClassVar[int]
    extra: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str) -> None:
        HTTPException.__init__(self, self.status, message, self.extra)

    def __str__(self) -> str:
        return self.detail


class RequestError(HttpError):
    """The request is not of the form that the interface describes."""

    status = 400


class TokenError(HttpError):
    """The request does not carry the token of this server."""

    status = 401
    extra: ClassVar = {"WWW-Authenticate": "Bearer"}


class OriginError(HttpError):
    """A page of another origin sent the request."""

    status = 403


class SlowRequestError(HttpError):
    """The request did not arrive in time."""

    status = 408


class TooLargeError(HttpError):
    """The body or the picture is larger than this server takes."""

    status = 413


class MediaTypeError(HttpError):
    """The body is neither multipart/form-data nor JSON, or not in UTF-8."""

    status = 415


class BusyError(HttpError):
    """Too much is under way, the answer took too long, or the server is stopping."""

    status = 503
    extra: ClassVar = {"Retry-After": "1"}


class ServerError(HttpError):
    """The server's own fault."""

    status = 500


def answer(
    error: Exception, status: int | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The one form of every refusal.

    Args:
        status: where it is not the error's own.
        headers: where they are not the error's own.
    """
    if isinstance(error, HttpError):
        status, headers = status or error.status, headers or error.headers
    content = {"error": type(error).__name__, "message": str(error)}
    return JSONResponse(content, status or ServerError.status, headers)
