"""JSON to frozen dataclasses, with errors that name the key."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sdk._internal.arguments import short

T = TypeVar("T")


def decode(kind: type[T], value: object) -> T:
    """Build the dataclass `kind` from `value`, as `json.loads` returns it.

    Fields may be str, int, float (finite; an int will do), tuples, `Mapping[str, ...]`, `Any` and
    other dataclasses. Unknown keys are refused: a misspelt one must not pass for an optional one.

    Raises:
        ValueError: the message names the dotted key, what was expected and what came.
    """
    result: T = _decode(kind, value, "")
    return result


def _decode(hint: Any, value: Any, key: str) -> Any:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, value, key)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Mapping:
        _expect(isinstance(value, dict), key, "an object", value)
        return {name: _decode(args[1], item, _join(key, name)) for name, item in value.items()}
    if origin is tuple:
        _expect(isinstance(value, (list, tuple)), key, "a list", value)
        _expect(len(value) == len(args), key, f"{len(args)} items", value)
        return tuple(
            _decode(arg, item, _join(key, str(index)))
            for index, (arg, item) in enumerate(zip(args, value, strict=True))
        )
    if hint is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        try:
            number = float(value) if is_number else math.nan
        except OverflowError:  # JSON has no largest integer
            number = math.inf
        _expect(math.isfinite(number), key, "a finite number", value)
        return number
    _expect(type(value) is hint, key, hint.__name__, value)
    return value


def _decode_dataclass(kind: Any, value: Any, key: str) -> Any:
    _expect(isinstance(value, dict), key, "an object", value)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    known = {field.name for field in fields}
    for name in value:
        if name not in known:
            raise ValueError(f"{_join(key, name)}: unknown key; known here: {sorted(known)}")
    hints = get_type_hints(kind)
    arguments = {}
    for field in fields:
        if field.name in value:
            place = _join(key, field.name)
            arguments[field.name] = _decode(hints[field.name], value[field.name], place)
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"{_join(key, field.name)}: this key is missing")
    try:
        return kind(**arguments)
    except ValueError as error:  # from __post_init__, which knows its fields but not where it is
        raise ValueError(_join(key, str(error))) from error


def _expect(condition: bool, key: str, expected: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{key or 'the top level'}: expected {expected}, got {short(value)}")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
