"""What may be asked: checks that need no model."""

from collections.abc import Sequence

from sdk.errors import PhraseError

MAX_CHARACTERS = 1000


def as_phrases(text: str | Sequence[str]) -> list[str]:
    """One checked phrase, or several, as a list.

    Raises PhraseError when there is none, or when one is no string, blank, without a letter or
    digit, or longer than MAX_CHARACTERS.
    """
    if isinstance(text, str):
        return [_checked(text, "the phrase")]
    if not isinstance(text, Sequence) or isinstance(text, (bytes, bytearray)):
        raise PhraseError(
            f"expected a string or a list of strings, got {type(text).__name__}; "
            "give a description such as 'the dog on the left'"
        )
    if not text:
        raise PhraseError("expected at least one phrase, got an empty list")
    return [_checked(phrase, f"phrase {index}") for index, phrase in enumerate(text)]


def _checked(phrase: object, role: str) -> str:
    if not isinstance(phrase, str):
        raise PhraseError(f"{role}: expected a string, got {type(phrase).__name__}")
    if len(phrase) > MAX_CHARACTERS:
        raise PhraseError(
            f"{role}: expected at most {MAX_CHARACTERS} characters, got {len(phrase)}; "
            "describe one object in fewer words"
        )
    if not any(character.isalnum() for character in phrase):
        raise PhraseError(
            f"{role}: expected words that describe an object, got {phrase[:40]!r}, which has no "
            "letter or digit"
        )
    return phrase
