"""Teaching a grounder: its lessons, the examples behind them, and what may be learned."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import four_numbers, short
from sdk.backends.session import Session
from sdk.bundle.contract import BOXES, LOGITS, PHRASES_PER_CALL, VISUAL_TOKENS
from sdk.errors import ArgumentError, FrameError, LessonError, PhraseError
from sdk.frame_view import FrameView
from sdk.geometry.boxes import iou_xyxy
from sdk.inputs.frames import FrameLike
from sdk.inputs.phrases import EncodedPhrase, as_phrases, fusion_inputs
from sdk.lessons.background import Background
from sdk.lessons.lesson import Lesson, Reading, bare
from sdk.lessons.teacher import FIRST_NOUNS, RIGHT, Array, Ask, Example, Teacher
from sdk.text import Encode

EncodeFrame = Callable[[FrameLike], FrameView]
FrameBox = Sequence[float]
"""left, top, right, bottom in pixels of the frame."""


LEAST_SIDE = 4
"""Pixels of a box that can be learned from."""
MOST_SHOWN = 100
"""Examples of a name that are kept, the last ones: 63 MB of features."""


class Shown(NamedTuple):
    """An example, and whether the untaught name finds it."""

    example: Example
    right: bool


class Teaching:
    """The lessons of a grounder. A lesson takes effect between two calls, as a whole."""

    def __init__(
        self, model: str, fusion: Session, encode: Encode, background: Background | None
    ) -> None:
        self._model, self._encode = model, encode
        # No method: a circle of references would keep the graph.
        ask = asking(fusion, lambda phrases: [encode(phrase, phrase, None) for phrase in phrases])
        self._teacher = Teacher(ask, background) if background else None
        self._shown: dict[str, list[Shown]] = {}
        self._learning = threading.Lock()
        self.reading = Reading()

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """What is taught, in the order of teaching."""
        return self.reading.lessons

    def teach(
        self,
        encode_frame: EncodeFrame,
        name: str,
        examples: Sequence[tuple[FrameLike, FrameBox | None]],
        *,
        even_if_worse: bool,
    ) -> Lesson:
        """See `Grounder.teach`."""
        teacher, name = self._ready(name)
        untaught = self._untaught(name)
        try:
            pairs = [(frame, box) for frame, box in examples]
        except (TypeError, ValueError):
            raise ArgumentError(
                f"examples: expected a list of (frame, box) pairs, got {short(examples)}"
            ) from None
        shown = []
        for number, (frame, box) in enumerate(pairs):
            try:
                shown.append(self._show(encode_frame, untaught, frame, box))
            except (ArgumentError, FrameError) as error:
                raise type(error)(f"examples[{number}]: {error}") from error
        _check_boxes(shown)
        with self._learning:
            nouns = with_name(name, untaught, teacher.background.nouns)
            lesson = self._learn(teacher, name, shown, nouns)
            figures = lesson.figures
            worse = figures.examples > 1 and figures.right_left_out < figures.right_before
            if worse and not even_if_worse:
                raise LessonError(
                    f"{name!r} stays as it is: of {figures.examples} examples it finds "
                    f"{figures.right_before} untaught, and lessons of the others find "
                    f"{figures.right_left_out}; give more examples, or use it all the same "
                    "(even_if_worse, --even-if-worse)"
                )
            self._keep(lesson, shown)
        return lesson

    def remember(
        self, encode_frame: EncodeFrame, name: str, frame: FrameLike, box: FrameBox | None
    ) -> Lesson:
        """See `Grounder.remember`."""
        teacher, name = self._ready(name)
        untaught = self._untaught(name)
        more = self._show(encode_frame, untaught, frame, box)
        with self._learning:
            shown = [*self._shown.get(name.lower(), []), more]
            _check_boxes(shown)
            nouns = with_name(name, untaught, teacher.background.nouns[: FIRST_NOUNS - 1])
            lesson = self._learn(teacher, name, shown, nouns)
            self._keep(lesson, shown)
        return lesson

    def apply(self, lesson: Lesson) -> None:
        """See `Grounder.apply`."""
        if not isinstance(lesson, Lesson):
            raise ArgumentError(
                f"expected an sdk.Lesson, got {type(lesson).__name__}; read a file by Lesson.load"
            )
        self._check(lesson)
        with self._learning:
            if self._find(lesson.name):
                raise LessonError(f"{lesson.name!r} is taught already; remove that lesson first")
            self._keep(lesson, [])

    def learn_from(self, other: "Teaching") -> None:
        """See `Grounder.learn_from`."""
        with other._learning:
            lessons, shown = other.lessons, dict(other._shown)
        for lesson in lessons:
            self._check(lesson)
        with self._learning:
            for lesson in lessons:
                self._keep(lesson, shown[lesson.name.lower()])

    def remove(self, name: str) -> None:
        """See `Grounder.remove`."""
        with self._learning:
            lesson = self._find(_name(name))
            if lesson is None:
                names = ", ".join(lesson.name for lesson in self.lessons) or "none"
                raise LessonError(f"expected a name that is taught ({names}), got {name!r}")
            self.reading = Reading([other for other in self.lessons if other is not lesson])
            self._shown.pop(lesson.name.lower(), None)

    def _check(self, lesson: Lesson) -> None:
        """Raises LessonError for a lesson of another model."""
        if lesson.model != self._model:
            raise LessonError(
                f"the lesson {lesson.name!r} was taught to the model {lesson.model[:12]}, and this "
                f"bundle holds {self._model[:12]}; teach the name again"
            )
        teacher, _ = self._ready(lesson.name)
        features = teacher.background.looks.shape[1]
        if lesson.weights.shape != (features,):
            raise LessonError(
                f"expected the lesson {lesson.name!r} to have {features} weights, got "
                f"{lesson.weights.shape}; teach the name again"
            )

    def _ready(self, name: str) -> tuple[Teacher, str]:
        if self._teacher is None:
            raise LessonError(
                "this bundle cannot be taught: it brings no teaching file; use one whose fusion "
                "has a detector, built by export/build_engine.py of this version"
            )
        return self._teacher, _name(name)

    def _show(
        self,
        encode_frame: EncodeFrame,
        untaught: EncodedPhrase | None,
        frame: FrameLike,
        box: FrameBox | None,
    ) -> Shown:
        """The frame as an example. Raises FrameError, ArgumentError."""
        with encode_frame(frame) as view:
            tokens = view.visual_tokens.astype(np.float16)
            if box is None:
                return Shown(Example(tokens, None), right=False)
            edges = checked_box(box, view.size_wh)
            right = False
            if untaught and not untaught.unknown.head:
                (found,) = view.answer([untaught], 0)
                right = found.found and bool(iou_xyxy([edges], [found.box])[0, 0] >= RIGHT)
            return Shown(Example(tokens, view.fractions(edges)), right)

    def _learn(
        self, teacher: Teacher, name: str, shown: Sequence[Shown], nouns: Sequence[str]
    ) -> Lesson:
        right = sum(s.right for s in shown)
        return teacher.learn(name, [s.example for s in shown], nouns, right, self._model)

    def _untaught(self, name: str) -> EncodedPhrase | None:
        """The name as it is read without a lesson; None where no word of it can be."""
        try:
            return self._encode(name, name, None)
        except PhraseError:
            return None

    def _keep(self, lesson: Lesson, shown: list[Shown]) -> None:
        before = self._find(lesson.name)
        reading = Reading([*(other for other in self.lessons if other is not before), lesson])
        # Nothing between the two can fail: an interrupted lesson leaves both as they were.
        self._shown[lesson.name.lower()] = latest(shown)
        self.reading = reading

    def _find(self, name: str) -> Lesson | None:
        key = bare(name).lower()
        same = (lesson for lesson in self.lessons if lesson.name.lower() == key)
        return next(same, None)


def _name(name: str) -> str:
    """A checked name, bare. Raises PhraseError."""
    if not isinstance(name, str):
        raise PhraseError(f"expected a name, got {short(name)}")
    (checked,) = as_phrases(name)
    return bare(checked)


def _check_boxes(shown: Sequence[Shown]) -> None:
    if not any(s.example.box is not None for s in shown):
        raise ArgumentError(
            f"expected an example with a box, got {len(shown)} without; show the thing once more, "
            "as a lesson from a file brings no examples"
        )


def latest(shown: list[Shown]) -> list[Shown]:
    """At most MOST_SHOWN, the last ones; of many without a box the last one with it stays."""
    kept = shown[-MOST_SHOWN:]
    if shown and not any(s.example.box is not None for s in kept):
        boxes = [s for s in shown if s.example.box is not None]
        kept = [*boxes[-1:], *kept[1:]]
    return kept


def with_name(name: str, untaught: EncodedPhrase | None, nouns: Sequence[str]) -> Sequence[str]:
    """The nouns, and first the name itself where its words are known."""
    known = untaught is not None and not untaught.unknown.words
    return [name, *nouns] if known else nouns


def checked_box(box: FrameBox, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box in pixels of a frame.

    Raises:
        ArgumentError: not four ordered numbers inside the frame.
    """
    width, height = size_wh
    expected, got = "expected a box (left, top, right, bottom)", f"got {short(box)}"
    try:
        left, top, right, bottom = four_numbers(box)
    except Exception:  # whatever a stranger's object raises
        raise ArgumentError(f"{expected}, {got}") from None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):  # also for NaN
        raise ArgumentError(
            f"{expected} in pixels of a frame of {width}x{height}, {got}; is it x, y, width, "
            "height, or fractions?"
        )
    if min(right - left, bottom - top) < LEAST_SIDE:
        raise ArgumentError(f"{expected} of at least {LEAST_SIDE} pixels a side, {got}")
    return left, top, right, bottom


def asking(fusion: Session, encode: Callable[[Sequence[str]], list[EncodedPhrase]]) -> Ask:
    """The fusion graph as a teacher asks it; phrases are encoded once and kept."""
    tokens: dict[str, NDArray[np.float32]] = {}

    def ask(visual_tokens: Array, phrases: Sequence[str]) -> tuple[Array, Array]:
        visual = visual_tokens.astype(np.float32)
        boxes, logits = [], []
        for start in range(0, len(phrases), PHRASES_PER_CALL):
            asked = phrases[start : start + PHRASES_PER_CALL]
            if new := [phrase for phrase in asked if phrase not in tokens]:
                tokens.update((phrase.text, phrase.tokens) for phrase in encode(new))
            inputs = fusion_inputs([tokens[phrase] for phrase in asked])
            outputs = fusion.run(inputs | {VISUAL_TOKENS: visual})
            boxes.append(outputs[BOXES])
            logits.append(outputs[LOGITS])
        return np.concatenate(boxes), np.concatenate(logits)

    return ask
