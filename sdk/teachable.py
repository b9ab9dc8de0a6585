"""What a `Grounder` can be taught: names of things, from a few examples."""

from collections.abc import Sequence

from sdk._internal.arguments import short
from sdk.errors import ArgumentError
from sdk.frame_view import FrameView
from sdk.inputs.frames import FrameLike
from sdk.lessons.lesson import Lesson
from sdk.teaching import Teaching


class Teachable:
    """The lessons of a grounder, which encodes the frames of their examples."""

    @property
    def _teaching(self) -> Teaching:
        raise NotImplementedError

    def encode(self, frame: FrameLike) -> FrameView:
        """See `Grounder.encode`."""
        raise NotImplementedError

    def teach(
        self,
        name: str,
        examples: Sequence[tuple[FrameLike, Sequence[float] | None]],
        *,
        even_if_worse: bool = False,
    ) -> Lesson:
        """Learn what a name means from a few examples, in seconds and without training.

        From the next call on, also in streams that run, phrases that look for the name mean the
        thing: "the zorbl next to the door". All others are answered as before, to the last bit.

        Args:
            name: a word or a few, known or not: "pallet B7".
            examples: frames, each with the box (left, top, right, bottom) of the thing in pixels,
                or None where it is not in the frame: these teach what to refuse.
            even_if_worse: take the lesson although the untaught name finds more of the examples
                than lessons of the others do.

        Returns:
            The lesson, which `save` writes to a file for `load` and `apply`.

        Raises:
            LessonError: the bundle cannot be taught, or the lesson is worse; nothing changes.
            ArgumentError: a box is none, or there is no box at all.
            PhraseError: the name cannot be used.
            FrameError: a frame cannot be used.
            BackendError: the runtime failed.
            ClosedError: the grounder has been closed.
        """
        return self._teaching.teach(self.encode, name, examples, even_if_worse=even_if_worse)

    def remember(self, name: str, frame: FrameLike, box: Sequence[float] | None) -> Lesson:
        """As `teach`, of one example, at once. Called again with the name it learns of all.

        A lesson from a file does not bring its examples: it is replaced.

        Examples:
            >>> grounder.remember("my mug", frame, (120, 80, 200, 190))
            >>> grounder.ground(other_frame, "my mug")

        Raises:
            LessonError: the bundle cannot be taught.
            ArgumentError: the box is none, or there is no box at all.
            PhraseError: the name cannot be used.
            FrameError: the frame cannot be used.
            BackendError: the runtime failed.
            ClosedError: the grounder has been closed.
        """
        return self._teaching.remember(self.encode, name, frame, box)

    def apply(self, lesson: Lesson) -> None:
        """Use a lesson that was taught before, see `sdk.Lesson.load`.

        Raises:
            LessonError: it is of another model, or its name is taught already.
            ClosedError: the grounder has been closed.
        """
        self._teaching.apply(lesson)

    def learn_from(self, other: "Teachable") -> None:
        """Take over all that another grounder was taught, with the examples: lessons go on there.

        Of a name that is taught to both the other's lesson replaces this one's.

        Args:
            other: of the same bundle, for instance at another precision.

        Raises:
            LessonError: a lesson is of another model; nothing changes.
            ArgumentError: it is no Grounder.
            ClosedError: one of the two has been closed.
        """
        if not isinstance(other, Teachable):
            raise ArgumentError(f"other: expected a Grounder, got {short(other)}")
        self._teaching.learn_from(other._teaching)

    def remove(self, name: str) -> None:
        """Forget the lesson of a name.

        Raises:
            LessonError: the name is not taught.
            ClosedError: the grounder has been closed.
        """
        self._teaching.remove(name)

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """What is taught.

        Raises:
            ClosedError: the grounder has been closed.
        """
        return self._teaching.lessons
