"""A few hundred damaged inputs of each parser of foreign bytes; `make fuzz` asks for longer."""

import json
import random

import pytest

from tests.fuzz.targets import TARGETS

INPUTS = {"manifest": 400, "form": 200, "frames": 400}
VALUES = (None, True, -1, 0, 1.5, 10**400, "", "\ud800", "..", [], [[]], {}, {"a": 1}, "1" * 5000)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut out, doubled or put in; of JSON perhaps a value instead."""
    start = data.find(b"{")
    if start >= 0 and rng.random() < 0.5:
        try:
            return data[:start] + json.dumps(other_value(rng, json.loads(data[start:]))).encode()
        except ValueError:
            pass
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at, size = rng.randrange(len(changed) + 1), rng.choice([1, 1, 2, 4, 64])
        part = changed[at : at + size]
        changed[at : at + size] = rng.choice(
            [rng.randbytes(size), b"", bytes(part) * 2, bytes(part) + b"\xff" * size, b"\0" * size]
        )
    return bytes(changed)


def other_value(rng: random.Random, value: object) -> object:
    """The same with one value, somewhere, replaced or removed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        rest = {name: kept for name, kept in value.items() if name != key}
        return rest if rng.random() < 0.2 else {**rest, key: other_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], other_value(rng, value[at]), *value[at + 1 :]]
    return rng.choice(VALUES)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bytes_are_answered_or_refused_by_type(name: str) -> None:
    with TARGETS[name]() as (target, seeds):
        for seed in seeds:
            target(seed)
        target(b"")
        for number in range(INPUTS[name]):
            rng = random.Random(number)
            target(damaged(rng, rng.choice(seeds)))
