"""What grounding a phrase gives."""

from dataclasses import dataclass, replace
from typing import Any

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the frame."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another place that a phrase may mean: see `Grounding.alternatives`."""

    box: Box
    """Left, top, right, bottom in pixels of the frame."""
    score: float
    """What `Grounding.score` would be if this were the best candidate, in [0, 1]."""
    found: bool
    """Whether the score reaches the bundle's threshold."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"box": list(self.box), "score": self.score, "found": self.found}


@dataclass(frozen=True, slots=True)
class Grounding:
    """Where one phrase is in one frame."""

    text: str
    """The phrase, as it was asked."""
    box: Box
    """Left, top, right, bottom in pixels of the frame: the best candidate, even if not found."""
    score: float
    """Calibrated probability that the box is right, in [0, 1]."""
    found: bool
    """Whether the score reaches the bundle's threshold: False when nothing matches the phrase."""
    alternatives: tuple[Candidate, ...] = ()
    """The next best places, best first, as many as were asked for; found or not. No two of them,
    nor one of them and `box`, have an intersection over union above 0.5."""

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Every place that reaches the threshold, best first; empty when nothing is found.

        For phrases that mean several things ("the dogs"), asked with `alternatives`.
        """
        others = (other.box for other in self.alternatives if other.found)
        return (self.box, *others) if self.found else ()

    def moved(self, x: float, y: float) -> "Grounding":
        """The same with all boxes moved by (x, y) pixels: from a crop to the frame it is from."""
        others = (replace(other, box=_moved(other.box, x, y)) for other in self.alternatives)
        return replace(self, box=_moved(self.box, x, y), alternatives=tuple(others))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; "alternatives" is there when there are any."""
        result = {
            "text": self.text,
            "box": list(self.box),
            "score": self.score,
            "found": self.found,
        }
        if self.alternatives:
            result["alternatives"] = [other.to_dict() for other in self.alternatives]
        return result


def _moved(box: Box, x: float, y: float) -> Box:
    left, top, right, bottom = box
    return left + x, top + y, right + x, bottom + y
