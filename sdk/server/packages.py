"""Imported before the rest of the server, so that a missing package is explained once."""

from sdk._internal.extras import missing

try:
    import PIL.Image
    import prometheus_client
    import uvicorn
    from fastapi_offline import FastAPIOffline

    # Starlette imports it too, but only when the first form arrives.
    from python_multipart.multipart import parse_options_header
except ImportError as error:
    raise missing("serve", error) from error

__all__ = ["PIL", "FastAPIOffline", "parse_options_header", "prometheus_client", "uvicorn"]
