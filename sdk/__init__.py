"""Ground phrases in pictures: which box does "the dog on the left" mean?

>>> from sdk import Grounder
>>> grounder = Grounder.load()
>>> grounder.ground(frame, "the dog on the left").box
"""

from sdk.drawing import draw
from sdk.errors import (
    BackendError,
    BundleCorruptError,
    BundleError,
    BundleMismatchError,
    BundleNotFoundError,
    DependencyError,
    DeviceError,
    FrameError,
    GroundingError,
    PhraseError,
    PrecisionError,
    SourceError,
)
from sdk.grounder import FrameView, Grounder
from sdk.results import Grounding

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BundleCorruptError",
    "BundleError",
    "BundleMismatchError",
    "BundleNotFoundError",
    "DependencyError",
    "DeviceError",
    "FrameError",
    "FrameView",
    "Grounder",
    "Grounding",
    "GroundingError",
    "PhraseError",
    "PrecisionError",
    "SourceError",
    "__version__",
    "draw",
]
