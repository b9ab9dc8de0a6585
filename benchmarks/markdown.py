"""What the pages made of the committed JSON share."""

from __future__ import annotations

import re


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replaced(page: str, name: str, content: str) -> str:
    """`page` with `content` between the comments `<!-- name -->` and `<!-- /name -->`."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    new, count = re.subn(pattern, lambda m: f"{m[1]}{content}\n{m[2]}", page, flags=re.DOTALL)
    assert count == 1, f"expected one pair of markers {name}, got {count}"
    return new
