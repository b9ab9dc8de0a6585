"""Docstrings as they are written here, made Markdown for the reference pages (see mkdocs.yml).

Lines with prompts become code without them; lines of a paragraph that begin with a name in
backticks and a colon become a list, where there are two or more; errors become links.
"""

import re
from collections.abc import Iterator
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(?:(?:>>>|\.\.\.) ?.*\n?)+", re.M)
ARGUMENT = re.compile(r"^(?=`\w+`: )", re.M)
ERROR = re.compile(r"(?<![`\w.\[])([A-Z]\w*Error)\b(?!`)")


class PlainDocstrings(griffe.Extension):
    """Rewrites every docstring once the package is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        errors = set(pkg["errors"].classes)
        for thing in everything(pkg):
            if thing.docstring:
                thing.docstring.value = as_markdown(thing.docstring.value, errors)


def everything(thing: Any) -> Iterator[Any]:
    """`thing` and all that is defined in it, imports left out."""
    yield thing
    for member in thing.members.values():
        if not member.is_alias:
            yield from everything(member)


def as_markdown(text: str, errors: set[str]) -> str:
    """`errors`: names of the classes that are linked to."""
    text = EXAMPLE.sub(example, text)
    return "\n\n".join(paragraph(part, errors) for part in text.split("\n\n"))


def example(found: re.Match[str]) -> str:
    """Code between fences, without its prompts."""
    lines = (line[4:] for line in found[0].splitlines())
    return "\n".join(["```python", *lines, "```", ""])


def paragraph(text: str, errors: set[str]) -> str:
    """Its arguments as a list, its errors as links; code stays as it is."""
    if text.startswith(("    ", "```")):
        return text
    text = ERROR.sub(lambda found: link(found[1], errors), text)
    head, *arguments = ARGUMENT.split(text)
    if len(arguments) < 2:
        return text
    items = ("- " + argument.strip().replace("\n", "\n    ") for argument in arguments)
    return "\n".join([head, *items] if head else items)


def link(name: str, errors: set[str]) -> str:
    """To an error of the SDK; Python's own stay plain."""
    return f"[{name}][sdk.errors.{name}]" if name in errors else name
