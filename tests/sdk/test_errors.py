"""One tree of errors, drawn where it is defined."""

import inspect

import pytest

import sdk
from sdk import errors

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_a_grounding_error_and_public(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.GroundingError)
    assert getattr(sdk, kind.__name__) is kind


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.FrameError, ValueError),
        (errors.PhraseError, ValueError),
        (errors.BundleNotFoundError, FileNotFoundError),
    ],
)
def test_errors_that_are_also_builtin_ones(kind: type[Exception], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="what happened"):
        raise kind("what happened")


def test_the_drawing_shows_the_tree() -> None:
    """Indentation in the module's docstring gives each error its parent."""
    path: list[tuple[int, str]] = []
    drawn = {}
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        words = line.lstrip(" │├└─")
        name = words.split(" ")[0]
        if not hasattr(errors, name):
            continue
        indent = len(line) - len(words)
        path = [(depth, parent) for depth, parent in path if depth < indent]
        drawn[name] = path[-1][1] if path else "Exception"
        path.append((indent, name))
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in ERRORS}
