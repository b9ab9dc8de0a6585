"""What the parts of the runtime need of the `Grounder` and the `FrameView` that hold them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdk.backends.session import Session
from sdk.bundle.manifest import Manifest
from sdk.inputs.phrases import EncodedPhrase
from sdk.lessons.lesson import Lesson
from sdk.results import Grounding


class Answers(Protocol):
    """An encoded frame, or a part of one."""

    def answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]: ...


class Grounds(Protocol):
    """What encodes frames and phrases."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def sessions(self) -> dict[str, Session]: ...

    @property
    def lessons(self) -> tuple[Lesson, ...]: ...

    def encode_phrases(self, text: str | Sequence[str]) -> list[EncodedPhrase]: ...

    def encode(self, frame: NDArray[np.uint8], *, detail: int) -> Answers: ...
