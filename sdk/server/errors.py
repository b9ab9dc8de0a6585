"""What a request can be refused for, beside the picture and the phrases themselves."""

from sdk.errors import GroundingError


class HttpError(GroundingError):
    """Base class. Carries the status of the answer."""

    status = 400


class RequestError(HttpError):
    """The request is not of the form that the interface describes."""


class SlowRequestError(HttpError):
    """The request did not arrive in time."""

    status = 408


class TooLargeError(HttpError):
    """The body or the picture is larger than this server takes."""

    status = 413


class MediaTypeError(HttpError):
    """The body is neither multipart/form-data nor JSON."""

    status = 415


class BusyError(HttpError):
    """The queue is full, the answer took too long, or the server is stopping."""

    status = 503
