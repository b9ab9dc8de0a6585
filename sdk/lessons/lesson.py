"""A lesson: a name, the noun that it is read as, and what tells the thing from others.

The name is read as a noun that the model knows, the one that finds the examples best: it gives the
candidates, and their boxes. A linear layer over what is in a box, learned from the examples, adds
to each candidate's logit. A phrase without the name is answered as before, to the last bit.
"""

import hashlib
import json
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from sdk._internal.arguments import as_path
from sdk._internal.files import DAMAGED, replace_file
from sdk._internal.plurals import plural
from sdk.bundle.known_words import LINK, WORD
from sdk.bundle.schema import decode
from sdk.errors import LessonError, PhraseError
from sdk.lessons.looks import weighed_looks

SUFFIX = ".delta"
MOST_BYTES = 2_000_000
"""Of a lesson's file, which takes a few thousand."""
MOST_LETTERS = 1000
"""Of a name, as of a phrase."""
NOUN_SHARE = 0.5
"""Of the noun's own logit in a taught name's: it knows less of the thing than the examples do."""
_ARTICLES = ("the", "a", "an")
_DETERMINER = r"\b(?:the|a|an|my|your|his|her|its|our|their|this|that)\s+"
_POSSESSIVE = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}]s\\b", re.IGNORECASE)
_NO_NAMES = re.compile(
    rf"{LINK.pattern}|the|an?|all|both|other|left|right|top|bottom|middle|first|second|third|last|"
    r"one|two|three|four|five|six|seven|eight|nine|ten|\d+|big|bigger|biggest|small|smaller|smallest|"
    "black|white|gr[ae]y|red|orange|yellow|green|blue|purple|pink|brown"
)

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Figures:
    """How well a lesson does on its own examples."""

    examples: int
    absent: int
    """Frames without the thing."""
    right_before: int
    """Examples that the name found before it was taught."""
    right_left_out: int
    """Examples that lessons of the others find; 0 for a single one."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What `Grounder.teach` has learned of one name."""

    name: str
    noun: str
    """What the name is read as."""
    weights: NDArray[np.float32] = field(repr=False)
    """(F,) of what is in a box, see `sdk.lessons.looks`."""
    bias: float
    model: str
    """sha256 of the checkpoint of the bundle that was taught."""
    figures: Figures

    def logits(self, visual_tokens: Array, boxes_cxcywh: Array, logits: Array) -> Array:
        """(K,) logits of being the thing, from 0 on rather yes.

        Args:
            visual_tokens: (1, N, Dv) of the frame. boxes_cxcywh: (K, 4) candidates, fractions.
            logits: (K,) that the noun gives them.
        """
        return taught_logits(visual_tokens, boxes_cxcywh, logits, self.weights, self.bias)

    def save(self, path: str | Path) -> None:
        """Write the lesson to one file, as a whole.

        Raises:
            LessonError: it cannot be written.
        """
        path = as_path("path", path, error=LessonError)
        about = _About(self.name, self.noun, self.bias, self.model, self.figures)
        header = json.dumps(asdict(about))
        digest = _digest(header, self.weights)
        data = save({"weights": self.weights}, {"lesson": header, "sha256": digest})
        try:
            replace_file(path, data)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise LessonError(f"the lesson {path} cannot be written: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> "Lesson":
        """Read a lesson that `save` wrote.

        Raises:
            LessonError: there is no such file, or it is damaged.
        """
        path = as_path("path", path, error=LessonError)
        try:
            status = path.stat()
            size = status.st_size
            if not stat.S_ISREG(status.st_mode):  # a pipe or a device may block for ever
                raise ValueError("it is no regular file")
            if size > MOST_BYTES:
                raise ValueError(f"it has {size} bytes, a lesson at most {MOST_BYTES}")
            path.open("rb").close()  # safe_open says of what may not be read that it is not there
            with safe_open(path, "numpy") as file:
                header = file.metadata() or {}
                weights = file.get_tensor("weights")
            if header["sha256"] != _digest(header["lesson"], weights):
                raise ValueError("its content is not what its sha256 says")
            about = decode(_About, json.loads(header["lesson"]))
            if not all(0 < len(text.strip()) <= MOST_LETTERS for text in (about.name, about.noun)):
                raise ValueError(f"expected a name and a noun of at most {MOST_LETTERS} letters")
            if bare(about.name) != about.name:
                raise ValueError("its name has an article, or spaces around it")
            if weights.dtype != np.float32 or weights.ndim != 1 or not np.isfinite(weights).all():
                raise ValueError("expected finite float32 weights (F,)")
        except FileNotFoundError as error:
            raise LessonError(f"expected a lesson of `grounder teach`, found no {path}") from error
        except DAMAGED as error:
            raise LessonError(
                f"expected {path} to be a lesson of `grounder teach`, got: {error}; copy it again "
                "or teach the name again"
            ) from error
        return cls(about.name, about.noun, weights, about.bias, about.model, about.figures)


def taught_logits(
    visual_tokens: Array, boxes_cxcywh: Array, logits: Array, weights: Array, bias: float
) -> Array:
    """As `Lesson.logits`, with `weights` (F,) and `bias`."""
    return NOUN_SHARE * logits + weighed_looks(visual_tokens, boxes_cxcywh, weights) + bias


@dataclass(frozen=True)
class _About:
    """The header of a lesson's file."""

    name: str
    noun: str
    bias: float
    model: str
    figures: Figures


def _digest(header: str, weights: NDArray[Any]) -> str:
    return hashlib.sha256(header.encode() + weights.tobytes()).hexdigest()


class Reading:
    """How a phrase is read where names are taught."""

    def __init__(self, lessons: Sequence[Lesson] = ()) -> None:
        self.lessons = tuple(lessons)
        longest_first = sorted(enumerate(lessons), key=lambda item: -len(item[1].name))
        names = [
            rf"(?P<n{i}>{_pattern(lesson.name)})|(?P<s{i}>{_pattern(plural(lesson.name))})"
            for i, lesson in longest_first
        ]
        self._names = re.compile(
            rf"(?:{_DETERMINER})?(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE
        )

    def of(self, phrase: str) -> tuple[str, Lesson | None]:
        """A phrase that looks for a taught name: with nouns in place of names, and the lesson.

        "my mug next to the laptop" -> "the cup next to the laptop", "two zorbls" -> "two cups".
        A phrase that looks for something else, as "the laptop next to my mug" or "my mug's handle",
        is left as it is.
        """
        composed = normalize("NFC", phrase)  # a letter and its accent as one, as names have them
        first = self._names.search(composed) if self.lessons else None
        if first is None or _POSSESSIVE.match(composed, first.end()):
            return phrase, None
        before = WORD.findall(composed[: first.start()])
        if any(LINK.fullmatch(word.lower()) for word in before):
            return phrase, None
        return self._names.sub(self._noun, composed), self._named(first)

    def _noun(self, found: re.Match[str]) -> str:
        """With an article, but not inside a noun phrase: "the old zorbl" -> "the old cup"."""
        lesson = self._named(found)
        several = found[f"s{self.lessons.index(lesson)}"]
        noun = plural(lesson.noun) if several else lesson.noun
        determined = re.match(_DETERMINER, found[0], re.IGNORECASE)
        return f"the {noun}" if determined or not found.start() else noun

    def _named(self, found: re.Match[str]) -> Lesson:
        (index,) = (i for i in range(len(self.lessons)) if found[f"n{i}"] or found[f"s{i}"])
        return self.lessons[index]


def bare(name: str) -> str:
    """A name without article and full stop, with single spaces: "the  pallet B7." -> "pallet B7".

    Raises:
        PhraseError: it is made of words that are in phrases of other things, as "two" or "left".
    """
    words = normalize("NFC", name).strip(" \t\n.,;:!?").split()
    while len(words) > 1 and words[0].lower() in _ARTICLES:
        words = words[1:]
    if all(_NO_NAMES.fullmatch(word.lower()) for word in words):
        raise PhraseError(
            f"expected a name of a thing, got {name[:40]!r}, which other phrases are made of"
        )
    return " ".join(words)


def _pattern(name: str) -> str:
    return r"\s+".join(map(re.escape, normalize("NFC", name).split()))
