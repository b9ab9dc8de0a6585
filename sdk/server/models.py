"""The JSON of the answers."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

BoxList: TypeAlias = Annotated[list[float], Field(min_length=4, max_length=4)]
"""Left, top, right, bottom."""


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

    wait_ms: float = Field(description="In the queue, decoding included.", examples=[0.2])
    encode_ms: float = Field(description="Vision pass, if any.", examples=[12.1])
    fuse_ms: float = Field(description="Phrases, of all requests of the batch.", examples=[9.4])
    total_ms: float = Field(description="From the whole request to its answer.", examples=[23.0])


class GroundAnswer(BaseModel):
    """One result for each phrase, in their order."""

    size_wh: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        description="Width and height of the picture, upright.", examples=[[640, 480]]
    )
    results: list[PhraseResult]
    timings: Timings
    batch: int = Field(description="Requests that were answered together.", examples=[1])


class Taught(BaseModel):
    """What a name was learned from so far."""

    name: str = Field(examples=["my mug"])
    examples: int = Field(description="Boxes around the thing.", examples=[1])
    absent: int = Field(description="Pictures without it.", examples=[0])


class Health(BaseModel):
    """What is loaded."""

    status: str = Field(examples=["ok"])
    version: str = Field(examples=["0.1.0"])
    bundle: str = Field(examples=["default"])
    device: str = Field(examples=["cpu"])
    precision: str = Field(examples=["int8"])
    teaching: bool = Field(description="Whether names may be taught.", examples=[False])


class ErrorAnswer(BaseModel):
    """Why there is no answer: what was expected, what came, what to do."""

    error: str = Field(description="The kind of error.", examples=["PhraseError"])
    message: str = Field(examples=["expected at least one phrase, got an empty list"])
