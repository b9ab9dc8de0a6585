"""What grounding a phrase gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the frame."""


@dataclass(frozen=True, slots=True)
class Place:
    """One of the things that a phrase names, or another place that it may mean."""

    box: Box
    """Left, top, right, bottom in pixels of the frame."""
    score: float
    """Calibrated probability, in [0, 1]: see where it stands in `Grounding`."""
    track_id: int = 0
    """In a stream: the same number as long as it is the same object; 0 = not followed."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; "track_id" is there when it is followed."""
        followed = {"track_id": self.track_id} if self.track_id else {}
        return {"box": list(self.box), "score": self.score, **followed}


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
    instances: tuple[Place, ...] = ()
    """All that the phrase names ("the dogs", "two cups"): `box` with its score first, then the
    others, whose score is the probability that the phrase names them too. Empty exactly when
    `found` is False."""
    alternatives: tuple[Place, ...] = ()
    """The next best places that are not among the instances, best first, as many as were asked for.
    Their score is what `score` would be if they were the best. No two of them, nor one of them and
    an instance or `box`, have an intersection over union above 0.5."""
    unknown_words: tuple[str, ...] = ()
    """Words of the phrase that the bundle does not know. If the noun is one of them ("xyzzy"),
    `score` is 0 and nothing is found."""

    def __post_init__(self) -> None:
        if self.found != bool(self.instances):
            only = (Place(self.box, self.score),) if self.found else ()
            object.__setattr__(self, "instances", only)

    def places(self) -> Iterator[Place]:
        """The instances, or the best box alone where nothing is found; then the alternatives."""
        yield from self.instances or [Place(self.box, self.score)]
        yield from self.alternatives

    def moved(self, x: float, y: float) -> "Grounding":
        """The same with all boxes moved by (x, y) pixels: from a crop to the frame it is from."""
        return self._with(lambda box: (box[0] + x, box[1] + y, box[2] + x, box[3] + y))

    def scaled(self, x: float, y: float) -> "Grounding":
        """The same with all boxes in a frame that is x times as wide and y times as high."""
        return self._with(lambda box: (box[0] * x, box[1] * y, box[2] * x, box[3] * y))

    def _with(self, change: Callable[[Box], Box]) -> "Grounding":
        def of(places: tuple[Place, ...]) -> tuple[Place, ...]:
            return tuple(replace(place, box=change(place.box)) for place in places)

        return replace(
            self,
            box=change(self.box),
            instances=of(self.instances),
            alternatives=of(self.alternatives),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; "alternatives" and "unknown_words" are there when there are any."""
        result: dict[str, Any] = {
            "text": self.text,
            "box": list(self.box),
            "score": self.score,
            "found": self.found,
            "instances": [place.to_dict() for place in self.instances],
        }
        if self.alternatives:
            result["alternatives"] = [place.to_dict() for place in self.alternatives]
        if self.unknown_words:
            result["unknown_words"] = list(self.unknown_words)
        return result
