"""What the user wants: changed by keys and clicks, obeyed by the demo's loop."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sdk.outputs.drawing import PALETTE, Colour

ENTER, ESCAPE, SPACE = 13, 27, 32
BACKSPACES = (8, 127)
MESSAGE_SECONDS = 8.0


@dataclass(frozen=True)
class Command:
    """Something that a key does, and a button."""

    name: str
    key: str
    """As people call it."""
    codes: str
    """The characters that stand for it."""
    does: str


TOOLBAR = (
    Command("pause", "Space", " ", "hold the picture, or go on"),
    Command("step", "N", "nN.", "one frame on, then hold"),
    Command("snapshot", "S", "sS", "save the picture with its boxes"),
    Command("record", "R", "rR", "record a video with its boxes, or stop"),
    Command("precision", "P", "pP", "the bundle's next precision"),
    Command("tracking", "T", "tT", "carry boxes between groundings, or not"),
    Command("teach", "L", "lL", "learn the last phrase: drag boxes around what it means"),
    Command("why", "W", "wW", "why phrases are not found; dashed: best guesses"),
    Command("help", "H", "hH?", "this help"),
    Command("quit", "Q", "qQ\x1b", "quit, as Esc does"),
)
PHRASES = (
    Command("replace", "Tab", "\t\r", "other phrases (several: a dog; a cat)"),
    Command("add", "A", "aA+", "one more phrase"),
    Command("remove", "-", "-\x08\x7f", "remove the last phrase"),
    Command("edit", "1-9", "123456789", "change that phrase, or click on it"),
    Command("absent", "0", "0", "while learning: it is not in this picture"),
)
_COMMANDS = {code: command.name for command in TOOLBAR + PHRASES for code in command.codes}
_SWITCHES = {"record": "recording", "tracking": "tracking", "why": "explaining", "help": "helping"}
"""Command -> what it switches on and off."""


class Controls:
    """The phrases, what is switched on, and the text being typed."""

    def __init__(
        self, phrases: Sequence[str], *, tracking: bool = False, recording: bool = False
    ) -> None:
        self.tracking = tracking
        self.recording = recording
        self.paused = self.explaining = self.helping = self.quitting = False
        self.teaching = False
        """Whether boxes are drawn around what the last phrase means, in a picture that is held."""
        self.typed: str | None = None
        """The text being typed; None when none is."""
        self._span = slice(0)  # of the phrases, which the typed ones replace
        self._colours: dict[str, int] = {}
        self._look_for(phrases)
        self._before = self._colours
        self.wishes: set[str] = set()
        """Of "step", "snapshot", "precision" and "absent" those asked for; whoever grants one
        discards it."""
        self._message, self._until = "", 0.0

    @property
    def phrases(self) -> list[str]:
        """At least one, each once."""
        return list(self._colours)

    def colour(self, phrase: str) -> Colour:
        """BGR; the same as long as the phrase is looked for."""
        return PALETTE[self._colours[phrase] % len(PALETTE)]

    @property
    def prompt(self) -> str | None:
        """What to write while something is typed."""
        if self.typed is None:
            return None
        replaced = self.phrases[self._span]
        if len(replaced) == 1 and len(self._colours) > 1:
            return f'instead of "{replaced[0]}": {self.typed}_'
        return f"{'find' if replaced else 'find also'}: {self.typed}_"

    @property
    def title(self) -> str:
        """For the window: the one text that a screen reader can read."""
        state = " (paused)" if self.paused else ""
        return f"grounder{state}: {self.prompt or '; '.join(self.phrases)}"

    @property
    def message(self) -> str:
        """What was said last, for some seconds or until the next key or click."""
        return self._message if time.monotonic() < self._until else ""

    def say(self, message: str) -> None:
        self._message, self._until = message, time.monotonic() + MESSAGE_SECONDS

    def reject(self, reason: str) -> None:
        """Go back to the phrases before the last change, which cannot be grounded."""
        self._colours = self._before
        self.say(reason)

    def press(self, key: int) -> None:
        """`key`: an ASCII code."""
        self.say("")
        if self.typed is not None:
            self._type(key, self.typed)
        elif key == ESCAPE and self.helping:
            self.helping = False
        elif name := _COMMANDS.get(chr(key)):
            last = len(self._colours) - 1
            self._do(name, key - ord("1") if name == "edit" else last)

    def click(self, name: str, index: int) -> None:
        """`name`: of a command, or "accept" and "cancel" for what is typed. `index`: of a phrase
        to remove or edit."""
        self.say("")
        if name in ("accept", "cancel"):
            self.press(ENTER if name == "accept" else ESCAPE)
        else:
            self._do(name, index)

    def _do(self, name: str, index: int) -> None:
        if name == "pause":
            self.paused, self.teaching = not self.paused, False
        elif name in ("step", "snapshot", "precision"):
            self.paused = self.paused or name == "step"
            self.wishes.add(name)
        elif name == "teach":
            self.teaching = self.paused = not self.teaching
            if self.teaching:
                self.say(f'drag a box around "{self.phrases[-1]}"; 0: not in this picture; L: done')
        elif name == "absent":
            if self.teaching:
                self.wishes.add(name)
        elif switch := _SWITCHES.get(name):
            setattr(self, switch, not getattr(self, switch))
        elif name == "quit":
            self.quitting = True
        elif name == "remove":
            self._replace(slice(index, index + 1), [])
        elif name == "replace":
            self._edit(slice(0, len(self._colours)), "")
        elif name == "add":
            self._edit(slice(len(self._colours), None), "")
        elif index < len(self._colours):
            self._edit(slice(index, index + 1), self.phrases[index])

    def _edit(self, span: slice, text: str) -> None:
        self._span, self.typed = span, text

    def _type(self, key: int, typed: str) -> None:
        if key == ESCAPE:
            self.typed = None
        elif key == ENTER:
            self.typed = None
            self._replace(self._span, [part.strip() for part in typed.split(";") if part.strip()])
        elif key in BACKSPACES:
            self.typed = typed[:-1]
        elif SPACE <= key < 127:
            self.typed = typed + chr(key)

    def _replace(self, span: slice, phrases: Sequence[str]) -> None:
        asked = self.phrases
        asked[span] = phrases
        if asked:
            self._look_for(asked)
        else:
            self.say("at least one phrase: type another one")

    def _look_for(self, phrases: Sequence[str]) -> None:
        self._before = self._colours
        kept = {phrase: self._colours.get(phrase) for phrase in phrases}
        taken = {index for index in kept.values() if index is not None}
        free = (index for index in range(len(phrases)) if index not in taken)
        self._colours = {
            phrase: next(free) if index is None else index for phrase, index in kept.items()
        }
