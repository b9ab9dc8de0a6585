"""The application: routes, and errors as answers."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

import sdk
from sdk.errors import FrameError, GroundingError, PhraseError
from sdk.grounder import Grounder
from sdk.server.batcher import Batcher
from sdk.server.body import read_body
from sdk.server.errors import BusyError, HttpError, SlowRequestError
from sdk.server.limits import Limits
from sdk.server.metrics import Metered, Metrics
from sdk.server.models import (
    ErrorAnswer,
    GroundAnswer,
    Health,
    PhraseResult,
    Timings,
    request_schemas,
)
from sdk.server.packages import FastAPIOffline

GROUND = "/v1/ground"
RETRY_AFTER_SECONDS = "1"
_CANNOT_USE = 422  # understood, but the picture, its region or a phrase is of no use
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Not the form described here", "model": ErrorAnswer},
    408: {"description": "The request came too slowly", "model": ErrorAnswer},
    413: {"description": "Body or picture too large", "model": ErrorAnswer},
    415: {"description": "Neither a form nor JSON", "model": ErrorAnswer},
    _CANNOT_USE: {"description": "Picture, region or phrase of no use", "model": ErrorAnswer},
    503: {"description": "Busy: see Retry-After", "model": ErrorAnswer},
}
_log = logging.getLogger(__name__)


def create_app(
    grounder: Grounder, limits: Limits | None = None, *, hosts: Sequence[str] = ("*",)
) -> FastAPI:
    """The application, for uvicorn or another ASGI server; one worker process.

    `hosts`: values of the Host header that are answered, "*" for all. On loopback name its own: a
    page elsewhere must not reach the server through a name that it lets point here.
    """
    limits = limits or Limits()
    metrics = Metrics()
    batcher = Batcher(grounder, limits, metrics)
    bodies = {kind: {"schema": schema} for kind, schema in request_schemas(limits).items()}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        try:
            yield
        finally:
            await run_in_threadpool(batcher.close)

    app = FastAPIOffline(
        redoc_url=None,
        title="Grounder",
        version=sdk.__version__,
        description="Which box does a phrase mean?",
        lifespan=lifespan,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(Metered, metrics=metrics, path=GROUND)
    _answer_errors(app)

    @app.post(
        GROUND,
        responses=_ERRORS,
        response_model_exclude_defaults=True,  # no alternatives, as in `Grounding.to_dict`
        openapi_extra={"requestBody": {"required": True, "content": bodies}},
    )
    async def ground(request: Request) -> GroundAnswer:
        """Find each phrase in a picture."""
        started = time.perf_counter()
        batcher.check_room()  # before the body is read: a full server should not take uploads
        try:
            question = await asyncio.wait_for(read_body(request, limits), limits.seconds)
        except asyncio.TimeoutError:
            raise SlowRequestError(
                f"expected the whole request within {limits.seconds:g} s; send a smaller picture"
            ) from None
        future = await run_in_threadpool(batcher.submit, question)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(future), limits.seconds)
        except asyncio.TimeoutError:
            raise BusyError(
                f"expected an answer within {limits.seconds:g} s, got none; try again later, or "
                "with fewer phrases"
            ) from None
        timings = Timings(
            wait_ms=_ms(answer.wait_seconds),
            encode_ms=_ms(answer.encode_seconds),
            fuse_ms=_ms(answer.fuse_seconds),
            total_ms=_ms(time.perf_counter() - started),
        )
        return GroundAnswer(
            size_wh=list(answer.size_wh),
            results=[PhraseResult(**result.to_dict()) for result in answer.results],
            timings=timings,
            batch=answer.batch,
        )

    @app.get("/healthz", responses={503: {"model": ErrorAnswer}})
    async def healthz() -> Health:
        """Whether requests are being answered, and by what."""
        if not batcher.alive:
            raise BusyError("the worker does not run; start the server again")
        info = grounder.info
        return Health(
            status="ok",
            version=sdk.__version__,
            bundle=info["name"],
            device=info["device"],
            precision=info["precision"],
        )

    @app.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counters in Prometheus' text format."""
        return Response(metrics.text(), media_type=Metrics.content_type)

    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error becomes an ErrorAnswer. Only what the client can mend is told in full."""

    @app.exception_handler(GroundingError)
    async def refused(_: Request, error: GroundingError) -> JSONResponse:
        if isinstance(error, HttpError):
            return _error(error.status, type(error).__name__, str(error))
        if isinstance(error, (FrameError, PhraseError)):
            return _error(_CANNOT_USE, type(error).__name__, str(error))
        _log.error("cannot ground", exc_info=error)
        return _failed()

    @app.exception_handler(HTTPException)
    async def no_such_thing(_: Request, error: HTTPException) -> JSONResponse:
        answer = _error(error.status_code, "RequestError", f"{error.detail}; see /docs")
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return _error(400, "RequestError", "the client left before its request was read")

    @app.exception_handler(Exception)  # the traceback goes to the log, not to the client
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return _failed()


def _failed() -> JSONResponse:
    return _error(500, "ServerError", "the server failed on this request; its log says why")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status == BusyError.status else None
    content = ErrorAnswer(error=kind, message=message).model_dump()
    return JSONResponse(content, status, headers)


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
