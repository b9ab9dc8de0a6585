"""A model's figures beside those of others, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.provenance import as_json
from train.yardsticks.figure import Figure

Sections = Mapping[str, Mapping[str, Figure]]
"""Section -> name -> figure, of one model."""
DIGITS = ".2f"


def report(
    own: Sections, against: Sections | None, baselines: Mapping[str, Sections]
) -> dict[str, Any]:
    """Section -> name -> value, interval and count, and the same figure of the others."""
    return {
        section: {
            name: _row(section, name, figure, against, baselines) for name, figure in rows.items()
        }
        for section, rows in own.items()
    }


def _row(
    section: str,
    name: str,
    figure: Figure,
    against: Sections | None,
    baselines: Mapping[str, Sections],
) -> dict[str, Any]:
    row = {"title": figure.title, "count": figure.count} | _measured(figure)
    other = (against or {}).get(section, {}).get(name)
    if other:
        low, high = figure.difference_interval(other)
        difference = {"value": figure.value - other.value, "low": low, "high": high}
        row["against"] = _measured(other) | {"difference": as_json(difference, DIGITS)}
    others = {
        who: had[section][name] for who, had in baselines.items() if name in had.get(section, {})
    }
    if others:
        row["baselines"] = {who: _measured(other) for who, other in others.items()}
    return row


def _measured(figure: Figure) -> Any:
    low, high = figure.interval()
    return as_json({"value": figure.value, "low": low, "high": high}, DIGITS)


def table(figures: Mapping[str, Any]) -> str:
    """The figures of `report` as lines for people; in brackets the 95% interval."""
    lines = []
    for section, rows in figures.items():
        lines.append(section)
        for row in rows.values():
            line = f"  {row['title']:<48s} {_figure(row)} {row['count']:6,d}"
            if "against" in row:
                line += f"   against {_plain(row['against']['value'])}, {_change(row['against'])}"
            for who, other in row.get("baselines", {}).items():
                line += f"   {who} {_plain(other['value'])}"
            lines.append(line)
    return "\n".join(lines)


def _figure(row: Mapping[str, Any]) -> str:
    return f"{_plain(row['value'])} [{_plain(row['low'])}, {_plain(row['high'])}]"


def _change(row: Mapping[str, Any]) -> str:
    change = row["difference"]
    if change["value"] is None:
        return "-"
    return f"{change['value']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}]"


def _plain(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.1f}"
