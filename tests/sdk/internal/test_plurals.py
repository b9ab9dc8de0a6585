"""Plurals of nouns."""

import pytest

from sdk._internal.plurals import plural


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("dog", "dogs"),
        ("bus", "buses"),
        ("wine glass", "wine glasses"),
        ("couch", "couches"),
        ("doggy", "doggies"),
        ("toy", "toys"),
        ("person", "people"),
        ("knife", "knives"),
        ("sheep", "sheep"),
        ("computer mouse", "computer mice"),
    ],
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many
