"""The panel beside the picture: rates, the phrases in their colours, why, a graph of times."""

from collections.abc import Mapping, Sequence

import numpy as np

from apps.webcam.canvas import ACCENT, BUTTON, LIT, Canvas, Target
from apps.webcam.controls import Controls
from apps.webcam.meter import KEPT, Sample
from apps.webcam.scene import Scene
from sdk.outputs.drawing import BLACK, MUTED, WHITE, Colour, Rect
from sdk.results import Grounding

LATENCY: Colour = (220, 200, 120)
GRAPH_HEIGHT = 110
LEAST_REASONS = 6
"""Rows that the phrases leave to them."""


def draw_panel(canvas: Canvas, area: Rect, scene: Scene, controls: Controls) -> None:
    """What does not fit is left out from below: the graph, then reasons; phrases are counted."""
    pad = 2 * canvas.pen.pad
    left, y, right, bottom = area[0] + pad, area[1] + pad // 2, area[2] - pad, area[3]
    for line in scene.rates:
        canvas.text(line, (left, y), MUTED, right)
        y += canvas.pen.row
    y += pad
    kept = LEAST_REASONS * canvas.pen.row if controls.explaining else 0
    y = _draw_legend(canvas, (left, y, right, bottom - kept), scene.results, controls)
    if controls.explaining:
        y = _draw_reasons(canvas, (left, y + pad, right, bottom), scene.reasons, controls)
    height = min(GRAPH_HEIGHT, bottom - y - 3 * canvas.pen.row)
    if height > 2 * canvas.pen.row and any(any(sample) for sample in scene.samples):
        _draw_graph(canvas, (left, bottom - height - pad, right, bottom - pad), scene.samples)


def _draw_legend(
    canvas: Canvas, area: Rect, results: Sequence[Grounding], controls: Controls
) -> int:
    """A row per phrase: click on it to change it, on its x to remove it. Returns its bottom."""
    pen, (left, y, right, bottom) = canvas.pen, area
    row = pen.row + 4
    room = max(1, (bottom - y) // row - 1)
    phrases = controls.phrases
    shown = phrases if len(phrases) <= room else phrases[: room - 1]
    by_text = {result.text: result for result in results}
    for index, phrase in enumerate(shown):
        cross = (right - row, y, right, y + row - 2)
        line = (left, y, cross[0], y + row - 2)
        canvas.targets += [Target(line, "edit", index), Target(cross, "remove", index)]
        canvas.fill(line, LIT if canvas.under_pointer(line) else BUTTON)
        canvas.fill(cross, LIT if canvas.under_pointer(cross) else BUTTON)
        canvas.fill((left, y, left + row, y + row - 2), controls.colour(phrase))
        if index < 9:  # the key that changes it
            number = str(index + 1)
            canvas.text(number, (left + (row - pen.width(number)) // 2, y + 1), BLACK)
        says = _outcome(by_text.get(phrase))
        edge = cross[0] - pen.width(says) - pen.pad
        canvas.text(says, (edge, y + 1), MUTED)
        canvas.text(phrase, (left + row + pen.pad, y + 1), WHITE, edge - pen.pad)
        canvas.text("x", (cross[0] + (row - pen.width("x")) // 2, y + 1), MUTED)
        y += row
    more = len(phrases) - len(shown)
    rect = (left, y, right, y + row - 2)
    label = f"... and {more} more   + add" if more else "+ add"
    canvas.button(rect, Target(rect, "add"), (label,))
    return y + row


def _outcome(result: Grounding | None) -> str:
    if result is None:
        return "..."
    if not result.found:
        return "not found"
    many = f" x{len(result.instances)}" if len(result.instances) > 1 else ""
    return f"{result.score:.2f}{many}"


def _draw_reasons(
    canvas: Canvas, area: Rect, reasons: Mapping[str, Sequence[str]], controls: Controls
) -> int:
    """Returns their bottom."""
    pen, (left, y, right, bottom) = canvas.pen, area
    lines: list[tuple[str, Colour]] = []
    for phrase, why in reasons.items():
        lines.append((pen.fit(phrase, right - left), controls.colour(phrase)))
        for reason in why:
            first, *others = canvas.wrapped(reason, right - left - 2 * pen.pad)
            lines += [(f"  {line}", MUTED) for line in (first, *others)]
    if not lines:
        lines = [("everything is found", MUTED)]
    room = max(1, (bottom - y) // pen.row)
    if len(lines) > room:
        lines = [*lines[: room - 1], ("...", MUTED)]
    for text, colour in lines:
        indent = 2 * pen.pad if text.startswith("  ") else 0
        canvas.text(text, (left + indent, y), colour, right)
        y += pen.row
    return y


def _draw_graph(canvas: Canvas, area: Rect, samples: Sequence[Sample]) -> None:
    """Latency as a line, groundings as marks at the height of the time they took."""
    pen, (left, top, right, bottom) = canvas.pen, area
    latency = [sample.latency for sample in samples]
    grounding = [sample.grounding for sample in samples]
    x = left
    for name, times, colour in (("latency", latency, LATENCY), ("grounding", grounding, ACCENT)):
        latest = next((time for time in reversed(times) if time is not None), None)
        if latest is not None:
            caption = f"{name} {1000 * latest:.0f} ms"
            canvas.text(caption, (x, top), colour, right)
            x += pen.width(caption) + 3 * pen.pad
    top += pen.row
    canvas.fill((left, top, right, bottom), BUTTON)
    limit = _round_up(1000 * max(time for time in latency + grounding if time is not None))
    canvas.text(f"{limit} ms", (left + 2, top), MUTED)
    # The newest is at the right edge.
    xs = np.linspace(left + 1, right - 2, KEPT).round().astype(int).tolist()[-len(samples) :]

    def points(times: Sequence[float | None]) -> list[tuple[int, int]]:
        heights = ((x, time) for x, time in zip(xs, times, strict=True) if time is not None)
        return [(x, round(bottom - 2 - (bottom - top - 4) * 1000 * t / limit)) for x, t in heights]

    canvas.line(points(latency), LATENCY)
    for x, y in points(grounding):
        canvas.fill((x - 1, y - 1, x + 1, y + 1), ACCENT)


def _round_up(milliseconds: float) -> int:
    """To 1, 2 or 5 times a power of ten, at least 10."""
    steps = (factor * 10**power for power in range(1, 7) for factor in (1, 2, 5))
    return next((step for step in steps if step >= milliseconds), 10**7)
