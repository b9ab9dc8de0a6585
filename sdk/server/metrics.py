"""What Prometheus is told."""

import time
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdk.server.packages import prometheus_client

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of their own."""

    content_type = prometheus_client.CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        counter = partial(prometheus_client.Counter, registry=self._registry)
        histogram = partial(prometheus_client.Histogram, registry=self._registry)
        self.requests = counter(
            "grounder_requests", "Requests to ground, by HTTP status", ["status"]
        )
        self.seconds = histogram(
            "grounder_request_seconds", "From a request's head to its answer", buckets=_SECONDS
        )
        self.encoded = counter("grounder_frames_encoded", "Vision passes")
        self.batch = histogram(
            "grounder_batch_requests", "Requests that were answered together", buckets=_REQUESTS
        )
        self.phrases = counter("grounder_phrases", "Phrases that were fused with a frame")
        self.waiting = prometheus_client.Gauge(
            "grounder_requests_waiting", "Requests in the queue", registry=self._registry
        )

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
