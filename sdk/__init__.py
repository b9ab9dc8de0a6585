"""Ground phrases in pictures: which box does "the dog on the left" mean?

Examples:
    >>> from sdk import Grounder
    >>> grounder = Grounder.load()
    >>> grounder.ground(frame, "the dog on the left").box

What needs NumPy, OpenCV or ONNX Runtime is imported when it is first asked for, so that `grounder
doctor` can say what is wrong with them.

ONNX Runtime's telemetry is off, unless it was imported before or the environment says otherwise.

What is logged goes to the logger "grounder" and its children, and nowhere unless a program says so.
"""

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING

from sdk.errors import (
    ArgumentError,
    BackendError,
    BundleCorruptError,
    BundleError,
    BundleMismatchError,
    BundleNotFoundError,
    ClosedError,
    DependencyError,
    DeviceError,
    EngineBuildError,
    EngineCorruptError,
    EngineError,
    EngineFolderError,
    EngineMismatchError,
    EngineNotFoundError,
    EngineUnsupportedError,
    FrameError,
    GroundingError,
    LessonError,
    PhraseError,
    PrecisionError,
    SourceError,
    StreamEnded,
    StreamOverflowError,
)
from sdk.results import Grounding, Place

if TYPE_CHECKING:
    from sdk.frame_view import FrameView
    from sdk.grounder import Grounder
    from sdk.inputs.frames import RGB
    from sdk.lessons.lesson import Lesson
    from sdk.outputs.drawing import draw
    from sdk.streaming.stream import Stream, StreamResult
    from sdk.streaming.tracking import Tracking

logging.getLogger("grounder").addHandler(logging.NullHandler())

# ONNX Runtime 1.32 sends what it runs, and an identifier of the machine, to its makers over HTTPS
# unless this is set before it is imported. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

__all__ = [
    "RGB",
    "ArgumentError",
    "BackendError",
    "BundleCorruptError",
    "BundleError",
    "BundleMismatchError",
    "BundleNotFoundError",
    "ClosedError",
    "DependencyError",
    "DeviceError",
    "EngineBuildError",
    "EngineCorruptError",
    "EngineError",
    "EngineFolderError",
    "EngineMismatchError",
    "EngineNotFoundError",
    "EngineUnsupportedError",
    "FrameError",
    "FrameView",
    "Grounder",
    "Grounding",
    "GroundingError",
    "Lesson",
    "LessonError",
    "PhraseError",
    "Place",
    "PrecisionError",
    "SourceError",
    "Stream",
    "StreamEnded",
    "StreamOverflowError",
    "StreamResult",
    "Tracking",
    "__version__",
    "draw",
]

_HOMES = {
    "FrameView": "sdk.frame_view",
    "Grounder": "sdk.grounder",
    "Lesson": "sdk.lessons.lesson",
    "RGB": "sdk.inputs.frames",
    "Stream": "sdk.streaming.stream",
    "StreamResult": "sdk.streaming.stream",
    "Tracking": "sdk.streaming.tracking",
    "draw": "sdk.outputs.drawing",
}

if not TYPE_CHECKING:  # else any name would be fine with a type checker

    def __getattr__(name: str) -> object:
        """Raises DependencyError where a package is missing or broken."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ImportError as error:
            raise DependencyError(f"{error}. Fix: see what `grounder doctor` says") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
