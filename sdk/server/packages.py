"""The one place that imports what only the server needs, so that a lack is explained once."""

from sdk.errors import DependencyError

try:
    import PIL.Image
    import prometheus_client
    import python_multipart  # starlette imports it too, but only when the first form arrives
    import uvicorn
    from fastapi_offline import FastAPIOffline
except ImportError as error:
    raise DependencyError(
        f"the server needs a package that does not import: {error}. Fix: "
        "pip install fastapi fastapi-offline uvicorn python-multipart prometheus-client pillow"
    ) from error

__all__ = ["PIL", "FastAPIOffline", "prometheus_client", "python_multipart", "uvicorn"]
