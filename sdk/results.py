"""What grounding a phrase gives."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Grounding:
    """Where one phrase is in one frame."""

    text: str
    """The phrase, as it was asked."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the frame: the best candidate, even if not found."""
    score: float
    """Calibrated probability that the box is right, in [0, 1]."""
    found: bool
    """Whether the score reaches the bundle's threshold: False when nothing matches the phrase."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        box = list(self.box)
        return {"text": self.text, "box": box, "score": self.score, "found": self.found}
