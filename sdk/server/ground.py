"""`POST /v1/ground`: a form or JSON in, boxes out."""

import asyncio
import base64
import time
from typing import Annotated, Any, cast

from fastapi import APIRouter, Form, UploadFile
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from sdk.inputs.frames import Region
from sdk.inputs.phrases import as_phrases
from sdk.server.batcher import Batcher, Question
from sdk.server.errors import BusyError, RequestError
from sdk.server.guard import FORM
from sdk.server.images import FORMATS
from sdk.server.limits import Limits
from sdk.server.models import ErrorAnswer, GroundAnswer, PhraseResult, Timings
from sdk.server.packages import parse_options_header

PATH = "/v1/ground"
_PICTURE = f"A picture as a file holds it: {', '.join(FORMATS)}."
_REFUSALS = {
    400: "Not the form described here",
    401: "Without the server's token, where it has one",
    403: "From a page of another origin",
    408: "The request came too slowly",
    413: "Body or picture too large",
    415: "Neither a form nor JSON, or not in UTF-8",
    422: "Picture, region or phrase of no use",
    503: "Busy: see Retry-After",
}


class _FormRoute(APIRoute):
    """For forms; what else comes to the same path is left to the route of JSON."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        kind, _ = parse_options_header(Headers(scope=scope).get("content-type"))
        return super().matches(scope) if kind == FORM.encode() else (Match.NONE, {})


def ground_routes(batcher: Batcher, limits: Limits) -> APIRouter:
    """The routes, with the limits in what they say of themselves."""

    class Asked(BaseModel):
        model_config = ConfigDict(extra="forbid")

        phrases: list[Annotated[str, Field(max_length=limits.phrase_characters)]] = Field(
            description='What to look for, each as in "the dog on the left".',
            min_length=1,
            max_length=limits.phrases,
            examples=[["the cat", "a bicycle"]],
        )
        alternatives: int = Field(
            default=0,
            description="How many other places to give for each phrase besides the best, at most.",
            ge=0,
            le=limits.alternatives,
            examples=[3],
        )
        region: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
            default=None,
            description="The part of the picture to look at: left, top, right, bottom in pixels, "
            "cut at the edges. Boxes are in pixels of the whole picture all the same.",
            examples=[[40, 60, 210, 300]],
        )

    class GroundForm(Asked):
        """A field for each phrase, and the region as four numbers with commas between them."""

        image: UploadFile = Field(description=_PICTURE)

        @field_validator("region", mode="before")
        @classmethod
        def _split(cls, given: Any) -> list[str]:
            parts = given if isinstance(given, list) else [given]  # by the version of FastAPI
            if not all(isinstance(part, str) for part in parts):
                raise ValueError("expected four numbers with commas between them")
            return ",".join(parts).split(",")

    class GroundRequest(Asked):
        """A picture and phrases, for clients that would rather not send a form."""

        model_config = ConfigDict(strict=True)

        image: Annotated[bytes, BeforeValidator(_from_base64)] = Field(
            description=f"{_PICTURE} Base64.",
            examples=["/9j/4AAQSkZJRg..."],
            json_schema_extra={"format": "base64"},
        )

    async def ground(asked: Asked, image: bytes) -> GroundAnswer:
        started = time.perf_counter()
        region = cast(Region, tuple(asked.region)) if asked.region else None
        question = Question(image, as_phrases(asked.phrases), asked.alternatives, region)
        future = await run_in_threadpool(batcher.submit, question)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(future), limits.seconds)
        except asyncio.TimeoutError:
            raise BusyError(
                f"expected an answer within {limits.seconds:g} s, got none; try again later, or "
                "with fewer phrases"
            ) from None
        return GroundAnswer(
            size_wh=list(answer.size_wh),
            results=[PhraseResult(**result.to_dict()) for result in answer.results],
            timings=Timings(
                wait_ms=_ms(answer.wait_seconds),
                encode_ms=_ms(answer.encode_seconds),
                fuse_ms=_ms(answer.fuse_seconds),
                total_ms=_ms(time.perf_counter() - started),
            ),
            batch=answer.batch,
        )

    routes = APIRouter()
    options: dict[str, Any] = {
        "methods": ["POST"],
        "response_model_exclude_defaults": True,  # no alternatives, as in `Grounding.to_dict`
    }

    async def ground_form(asked: Annotated[GroundForm, Form()]) -> GroundAnswer:
        return await ground(asked, await asked.image.read())

    async def ground_json(asked: GroundRequest) -> GroundAnswer:
        """Find each phrase in a picture."""
        return await ground(asked, asked.image)

    form = {"content": {FORM: {"schema": GroundForm.model_json_schema()}}}
    routes.add_api_route(
        PATH, ground_form, route_class_override=_FormRoute, include_in_schema=False, **options
    )
    routes.add_api_route(
        PATH,
        ground_json,
        summary="Ground",
        responses={
            status: {"description": description, "model": ErrorAnswer}
            for status, description in _REFUSALS.items()
        },
        openapi_extra={"requestBody": form},  # beside the JSON, which FastAPI describes
        **options,
    )
    return routes


def _from_base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise RequestError(
            f"image: expected base64 of a picture, got what is not base64: {error}; leave out a "
            "'data:' prefix"
        ) from None


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
