"""`grounder serve`: grounding over HTTP. Needs the packages of the extra `serve`.

    POST /v1/ground    picture and phrases in, boxes out
    POST /v1/teach     a picture, a name and a box in: the name means the thing (`--teach`)
    GET  /healthz      is it alive, and what is loaded
    GET  /metrics      for Prometheus
    GET  /docs         the interface, to read and to try

    request ── guard, read, check (event loop) ── queue ── decoders ── worker: ground ── answer

`create_app` makes the application, `sdk.server.serve` listens.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sdk.server.limits import Limits

if TYPE_CHECKING:
    from sdk.server.app import create_app

__all__ = ["Limits", "create_app"]

if not TYPE_CHECKING:  # else any name would be fine with a type checker

    def __getattr__(name: str) -> object:
        """Raises DependencyError where a package is missing."""
        if name != "create_app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import_module("sdk.server.packages")
        return import_module("sdk.server.app").create_app
