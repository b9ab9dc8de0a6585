"""`POST /v1/teach`: a picture, a name and a box in; from then on the name means the thing."""

import threading
from typing import Annotated

from fastapi import APIRouter, Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from sdk.grounder import Grounder
from sdk.server.errors import BusyError, RequestError
from sdk.server.images import FORMATS, decode, pixels_of
from sdk.server.limits import Limits
from sdk.server.models import Taught

PATH = "/v1/teach"
MOST_EXAMPLES = 256
"""Of all names: each takes 0.6 MB."""


def teach_routes(grounder: Grounder, limits: Limits) -> APIRouter:
    """The route. What is taught is taught for all clients, until the server ends."""
    one_at_a_time = threading.Lock()

    class Example(BaseModel):
        model_config = ConfigDict(extra="forbid")

        name: str = Field(
            description="What the thing is called, known or not.",
            max_length=limits.phrase_characters,
            examples=["my mug"],
        )
        box: str | None = Field(
            default=None,
            description="Around the thing: left, top, right, bottom in pixels, with commas between "
            "them. Without it: the thing is not in the picture.",
            examples=["40,60,210,300"],
        )
        image: UploadFile = Field(description=f"A picture as a file holds it: {FORMATS}.")

    def learn(name: str, data: bytes, box: list[float] | None) -> Taught:
        if not one_at_a_time.acquire(blocking=False):  # threads that wait would be all there are
            raise BusyError("another example is being learned; try again in a second")
        try:
            kept = sum(le.figures.examples + le.figures.absent for le in grounder.lessons)
            if kept >= MOST_EXAMPLES:
                raise RequestError(
                    f"expected at most {MOST_EXAMPLES} examples, got more; start the server again, "
                    "with --delta for what it should know"
                )
            pixels_of(data, limits)
            figures = grounder.remember(name, decode(data), box).figures
        finally:
            one_at_a_time.release()
        return Taught(name=name, examples=figures.examples, absent=figures.absent)

    routes = APIRouter()

    @routes.post(PATH, summary="Teach")
    async def teach(example: Annotated[Example, Form()]) -> Taught:
        """Learn what a name means from one more example."""
        box = None if example.box is None else edges(example.box)
        data = await example.image.read()
        return await run_in_threadpool(learn, example.name, data, box)

    return routes


def edges(text: str) -> list[float]:
    """The numbers of a box."""
    try:
        return [float(edge) for edge in text.split(",")]
    except ValueError:
        raise RequestError(
            f"box: expected four numbers with commas between them, got {text[:60]!r}"
        ) from None
