"""The application: routes, and errors as answers."""

import logging
import reprlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import sdk
from sdk.errors import ArgumentError, FrameError, GroundingError, LessonError, PhraseError
from sdk.grounder import Grounder
from sdk.server import connections, ground, teach
from sdk.server.batcher import Batcher
from sdk.server.errors import BusyError, HttpError, RequestError, ServerError, answer
from sdk.server.guard import Guard
from sdk.server.limits import Limits
from sdk.server.metrics import Metered, Metrics
from sdk.server.models import ErrorAnswer, Health
from sdk.server.packages import FastAPIOffline

METRICS = "/metrics"
_CANNOT_USE = 422  # understood, but the picture, its region or a phrase is of no use
_NUMBERS = ("too_short", "too_long", "string_too_long")  # pydantic's names
_log = logging.getLogger(__name__)


def create_app(
    grounder: Grounder,
    limits: Limits | None = None,
    *,
    hosts: Sequence[str] = ("*",),
    token: str | None = None,
    teaching: bool = False,
) -> FastAPI:
    """The application, for `serve.make_server` or another ASGI server; one worker process.

    Args:
        hosts: names in the Host header that are answered, "*" for all. On loopback name its own: a
            page elsewhere must not reach the server through a name that it lets point here.
        token: what to ask for before grounding, teaching and the metrics.
        teaching: whether clients may teach names, which are then known to all.
    """
    limits = limits or Limits()
    metrics = Metrics()
    batcher = Batcher(grounder, limits, metrics)

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
    app.state.limits, app.state.token = limits, token  # for `serve`
    app.add_middleware(
        Guard,
        limits=limits,
        hosts=hosts,
        token=token,
        protected=[ground.PATH, teach.PATH, METRICS],
        uploads=[ground.PATH, teach.PATH],
        check_room=batcher.check_room,  # before the body is read: a full server takes no uploads
    )
    app.add_middleware(Metered, metrics=metrics, path=ground.PATH)
    _answer_errors(app)
    # The guard has asked for the token; this tells the interface's description of it.
    described = [Depends(HTTPBearer(auto_error=False))] if token else []
    app.include_router(ground.ground_routes(batcher, limits), dependencies=described)
    if teaching:
        app.include_router(teach.teach_routes(grounder, limits), dependencies=described)

    @app.get(connections.HEALTH, responses={503: {"model": ErrorAnswer}})
    async def healthz() -> Health:
        """Whether requests are being answered, and by what."""
        if not batcher.alive:
            raise BusyError("the worker does not run; start the server again")
        info = grounder.info
        return Health(
            status="ok",
            version=sdk.__version__,
            bundle=info.name,
            device=info.device,
            precision=info.precision,
            teaching=teaching,
        )

    @app.get(METRICS, response_class=Response, dependencies=described)
    async def prometheus() -> Response:
        """Counters in Prometheus' text format."""
        return Response(metrics.text(), media_type=Metrics.content_type)

    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error becomes an ErrorAnswer. Only what the client can mend is told in full."""

    @app.exception_handler(GroundingError)
    async def refused(_: Request, error: GroundingError) -> JSONResponse:
        if isinstance(error, HttpError):
            return answer(error)
        if isinstance(error, (ArgumentError, FrameError, LessonError, PhraseError)):
            return answer(error, _CANNOT_USE)
        _log.error("cannot ground", exc_info=error)
        return _failed()

    @app.exception_handler(RequestValidationError)
    async def of_another_form(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = first["loc"][1:]
        got = reprlib.repr(first["input"])
        text = f"{'.'.join(map(str, where)) or 'the body'}: {first['msg']}, got {got}; see /docs"
        if where[:1] == ("phrases",) and first["type"] in _NUMBERS:
            return answer(PhraseError(text), _CANNOT_USE)
        return answer(RequestError(text))

    @app.exception_handler(HTTPException)
    async def no_such_thing(_: Request, error: HTTPException) -> JSONResponse:
        text = f"{error.detail}; see /docs"
        return answer(RequestError(text), error.status_code, error.headers)

    @app.exception_handler(Exception)  # the traceback goes to the log, not to the client
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return _failed()


def _failed() -> JSONResponse:
    return answer(ServerError("the server failed on this request; its log says why"))
