"""What the window shows, before it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apps.webcam.meter import Sample
from sdk.outputs.drawing import Rect
from sdk.results import Grounding

Image = NDArray[np.uint8]


@dataclass
class Scene:
    """What there is to show."""

    frame: Image | None = None
    """(H, W, 3) uint8 BGR; None before the first one."""
    results: Sequence[Grounding] = ()
    """Of the frame, in its pixels."""
    rates: Sequence[str] = ()
    samples: Sequence[Sample] = ()
    reasons: dict[str, list[str]] = field(default_factory=dict)
    """Of each phrase that is not found, why."""
    precision: str = ""
    loading: bool = False
    """Whether another precision is being loaded."""
    recorded: float | None = None
    """Seconds of video so far; None when none is recorded."""
    notice: str = ""
    """State of the source, as "the source has ended"."""
    dragged: Rect | None = None
    """A box that is being drawn, in pixels of the frame."""
