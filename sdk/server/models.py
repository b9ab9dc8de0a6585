"""The JSON of the interface."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sdk.server.images import FORMATS

PICTURE = f"A picture as a file holds it: {', '.join(FORMATS)}."
PHRASES = 'What to look for, each as in "the dog on the left".'
EXAMPLE_PHRASES = ["the cat", "a bicycle"]


class GroundRequest(BaseModel):
    """A picture and phrases, for clients that would rather not send a form."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str = Field(description=f"{PICTURE} Base64.", examples=["/9j/4AAQSkZJRg..."])
    phrases: list[str] = Field(description=PHRASES, examples=[EXAMPLE_PHRASES])


FORM_SCHEMA: dict[str, Any] = {
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
    },
}
"""The same as a form."""


class PhraseResult(BaseModel):
    """Where one phrase is."""

    text: str = Field(description="The phrase, as it was asked.", examples=["the cat"])
    box: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(
        description="Left, top, right, bottom in pixels: the best candidate, even if not found.",
        examples=[[12.5, 40.0, 210.2, 300.9]],
    )
    score: float = Field(description="Probability that the box is right.", examples=[0.93])
    found: bool = Field(description="False when nothing in the picture matches the phrase.")


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
