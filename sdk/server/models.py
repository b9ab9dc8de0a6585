"""The JSON of the interface."""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from sdk.server.images import FORMATS
from sdk.server.limits import Limits

PICTURE = f"A picture as a file holds it: {', '.join(FORMATS)}."
PHRASES = 'What to look for, each as in "the dog on the left".'
ALTERNATIVES = "How many other places to give for each phrase besides the best, at most."
REGION = (
    "The part of the picture to look at: left, top, right, bottom in pixels, cut at the edges. "
    "Boxes are in pixels of the whole picture all the same."
)
EXAMPLE_PHRASES = ["the cat", "a bicycle"]

BoxList: TypeAlias = Annotated[list[float], Field(min_length=4, max_length=4)]
"""Left, top, right, bottom."""


class GroundRequest(BaseModel):
    """A picture and phrases, for clients that would rather not send a form."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str = Field(description=f"{PICTURE} Base64.", examples=["/9j/4AAQSkZJRg..."])
    phrases: list[str] = Field(description=PHRASES, examples=[EXAMPLE_PHRASES])
    alternatives: int = Field(default=0, description=ALTERNATIVES, examples=[3])
    region: tuple[float, float, float, float] | None = Field(
        default=None, description=REGION, examples=[[40, 60, 210, 300]]
    )


def request_schemas(limits: Limits) -> dict[str, dict[str, Any]]:
    """Media type -> JSON schema of a request, with the limits in it."""
    as_json = GroundRequest.model_json_schema()
    as_form: dict[str, Any] = {
        "type": "object",
        "required": ["image", "phrases"],
        "properties": {
            "image": {"type": "string", "format": "binary", "description": PICTURE},
            "phrases": {
                "type": "array",
                "items": {"type": "string"},
                "description": f"{PHRASES} One field of this name for each.",
                "example": EXAMPLE_PHRASES,
            },
            "alternatives": {"type": "integer", "default": 0, "description": ALTERNATIVES},
            "region": {
                "type": "string",
                "description": f"{REGION} Four numbers with commas between them.",
                "example": "40,60,210,300",
            },
        },
    }
    for schema in (as_json, as_form):
        of = schema["properties"]
        of["phrases"] |= {"minItems": 1, "maxItems": limits.phrases}
        of["phrases"]["items"]["maxLength"] = limits.phrase_characters
        of["alternatives"] |= {"minimum": 0, "maximum": limits.alternatives}
    return {"multipart/form-data": as_form, "application/json": as_json}


class Place(BaseModel):
    """One of the things that a phrase names, or another place that it may mean."""

    box: BoxList = Field(description="Left, top, right, bottom in pixels.")
    score: float = Field(description="Probability, in [0, 1].")


class PhraseResult(BaseModel):
    """Where one phrase is."""

    text: str = Field(description="The phrase, as it was asked.", examples=["the cat"])
    box: BoxList = Field(
        description="Left, top, right, bottom in pixels: the best candidate, even if not found.",
        examples=[[12.5, 40.0, 210.2, 300.9]],
    )
    score: float = Field(description="Probability that the box is right.", examples=[0.93])
    found: bool = Field(description="False when nothing in the picture matches the phrase.")
    instances: list[Place] = Field(
        description="All that the phrase names, the best first; empty when nothing is found.",
        examples=[[{"box": [12.5, 40.0, 210.2, 300.9], "score": 0.93}]],
    )
    alternatives: list[Place] = Field(
        default=[],
        description="The next best places, best first; left out where there are none.",
        examples=[[{"box": [300.0, 42.1, 470.6, 290.0], "score": 0.11}]],
    )
    unknown_words: list[str] = Field(
        default=[],
        description="Words that the model does not know; left out where there are none.",
        examples=[[]],
    )


class Timings(BaseModel):
    """Milliseconds, as the server saw them."""

    wait_ms: float = Field(description="In the queue.", examples=[0.2])
    encode_ms: float = Field(description="Decoding and vision pass, if any.", examples=[12.1])
    fuse_ms: float = Field(description="Phrases, of all requests of the batch.", examples=[9.4])
    total_ms: float = Field(description="From the request's head to its answer.", examples=[23.0])


class GroundAnswer(BaseModel):
    """One result for each phrase, in their order."""

    size_wh: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        description="Width and height of the picture, upright.", examples=[[640, 480]]
    )
    results: list[PhraseResult]
    timings: Timings
    batch: int = Field(description="Requests that were answered together.", examples=[1])


class Health(BaseModel):
    """What is loaded."""

    status: str = Field(examples=["ok"])
    version: str = Field(examples=["0.1.0"])
    bundle: str = Field(examples=["default"])
    device: str = Field(examples=["cpu"])
    precision: str = Field(examples=["int8"])


class ErrorAnswer(BaseModel):
    """Why there is no answer: what was expected, what came, what to do."""

    error: str = Field(description="The kind of error.", examples=["PhraseError"])
    message: str = Field(examples=["expected at least one phrase, got an empty list"])
