"""Numbers and names that callers give, checked alike everywhere."""

import math
import operator
import os
from collections.abc import Collection, Mapping, Set
from pathlib import Path

from sdk.errors import ArgumentError, GroundingError


def whole(
    name: str,
    value: object,
    least: int,
    most: int | None = None,
    *,
    error: type[GroundingError] = ArgumentError,
) -> int:
    """A whole number from `least` to `most`, NumPy's too but no bool. Raises `error`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        got = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # whatever an object of a stranger raises
        got = None
    if got is None or got < least or (most is not None and got > most):
        limits = f"from {least} on" if most is None else f"from {least} to {most}"
        raise error(f"{name}: expected a whole number {limits}, got {short(value)}")
    return int(got)


def number(
    name: str, value: object, least: float, most: float = math.inf, *, above: bool = False
) -> float:
    """A number from `least` to `most`.

    Args:
        above: leave `least` itself out.

    Raises:
        ArgumentError: it is no number, or out of range.
    """
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        got = float(value)  # type: ignore[arg-type]
    except Exception:  # whatever an object of a stranger raises
        got = math.nan
    if not least <= got <= most or (above and got == least):  # nan is never in between
        limits = f"{'above' if above else 'from'} {least:g}"
        limits += "" if most == math.inf else f" to {most:g}"
        raise ArgumentError(f"{name}: expected a number {limits}, got {short(value)}")
    return got


def choice(
    name: str,
    value: object,
    options: Collection[str],
    *,
    error: type[GroundingError] = ArgumentError,
    advice: str = "",
) -> str:
    """One of the options. Raises `error`."""
    if not isinstance(value, str) or value not in options:
        listed = ", ".join(map(repr, options))
        raise error(f"{name}: expected one of {listed}, got {short(value)}{advice}")
    return value


def as_path(name: str, value: object, *, error: type[GroundingError] = ArgumentError) -> Path:
    """The path of a file or folder, which need not exist. Raises `error`."""
    try:
        return Path(os.fsdecode(value))  # type: ignore[arg-type]
    except Exception:  # whatever a stranger's __fspath__ raises
        raise error(f"{name}: expected a path, got {short(value)}") from None


def four_numbers(values: object) -> tuple[float, float, float, float]:
    """Of a sequence or an array, but no text and no mapping. Raises whatever its values raise."""
    if isinstance(values, (str, bytes, bytearray, Mapping, Set)):
        raise TypeError("expected four numbers in their order")
    first, second, third, fourth = map(float, values)  # type: ignore[call-overload]
    return first, second, third, fourth


def short(value: object) -> str:
    """What a value looks like, in one line of at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a stranger's __repr__, or an int of more digits than Python will print
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
