"""What Prometheus is told."""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdk.server.packages import prometheus_client

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of their own."""

    content_type = prometheus_client.CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = prometheus_client.CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "grounder_requests", "Requests to ground, by HTTP status", ["status"], registry=registry
        )
        self.seconds = prometheus_client.Histogram(
            "grounder_request_seconds",
            "From a request's head to its answer",
            buckets=_SECONDS,
            registry=registry,
        )
        self.encoded = prometheus_client.Counter(
            "grounder_frames_encoded", "Vision passes", registry=registry
        )
        self.batch = prometheus_client.Histogram(
            "grounder_batch_requests",
            "Requests that were answered together",
            buckets=_REQUESTS,
            registry=registry,
        )
        self.phrases = prometheus_client.Counter(
            "grounder_phrases", "Phrases that were fused with a frame", registry=registry
        )
        self._waiting = prometheus_client.Gauge(
            "grounder_requests_waiting", "Requests in the queue", registry=registry
        )

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Tell the length of the queue.

        Args:
            waiting: asked for it when the metrics are read.
        """
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)


class Metered:
    """ASGI middleware: counts and times the requests to one path, refused ones too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, path: str) -> None:
        self._app, self._metrics, self._path = app, metrics, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(str(message["status"])).inc()
                self._metrics.seconds.observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, count)
