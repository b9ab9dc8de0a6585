"""Numbers and names that callers give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdk import ArgumentError, DeviceError, Grounder, PhraseError, PrecisionError
from sdk._internal.arguments import choice, number, short, whole


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_every_kind(value: Any) -> None:
    assert whole("n", value, 1, 5) == 3 and type(whole("n", value, 1)) is int


@pytest.mark.parametrize("value", [0, 6, 2.0, True, "3", None, [3], 10**400, float("nan")])
def test_what_is_no_whole_number_in_range(value: Any) -> None:
    with pytest.raises(ArgumentError, match="n: expected a whole number from 1 to 5, got "):
        whole("n", value, 1, 5)


@pytest.mark.parametrize("value", [float("nan"), 10**400, "1", None, [1], 1 + 1j, True, 0, 1.5])
def test_what_is_no_number_in_range(value: Any) -> None:
    with pytest.raises(ArgumentError, match="n: expected a number above 0 to 1, got "):
        number("n", value, 0, 1, above=True)
    assert number("n", np.float32(0.5), 0, 1) == 0.5 and number("n", float("inf"), 0)


@pytest.mark.parametrize("value", [[], {}, None, 3, np.array(["a", "b"]), "c"])
def test_what_is_none_of_the_options(value: Any) -> None:
    with pytest.raises(ValueError, match="n: expected one of 'a', 'b', got "):
        choice("n", value, ("a", "b"))


def test_what_is_shown_is_short() -> None:
    assert len(short("x" * 999)) == 80 and short(10**9999) and short(3) == "3"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"precision": []}, PrecisionError),
        ({"device": np.array(["cpu", "cuda"])}, DeviceError),
        ({"threads": 2**31}, DeviceError),
        ({"threads": 20_000}, DeviceError),
        ({"engines": 5}, ArgumentError),
    ],
)
def test_loading_with_what_cannot_be(
    tiny_bundle: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="expected"):
        Grounder.load(tiny_bundle, **options)


def test_half_a_character_is_refused(tiny_bundle: Path) -> None:
    grounder = Grounder.load(tiny_bundle)
    with pytest.raises(PhraseError, match="lone surrogate"):
        grounder.ground(np.zeros((20, 20, 3), np.uint8), "a \ud83d dog")
