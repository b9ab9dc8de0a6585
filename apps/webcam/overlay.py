"""Draws what the window shows: the picture with its boxes, the toolbar, what is typed, the help.

    +-----------------+-------+
    |                 | panel |     rates, legend, why, graph: apps/webcam/panel.py
    |     picture     |       |
    |                 |       |
    +-----------------+-------+
    |         toolbar         |
    +-------------------------+

Everything is drawn at the window's own size, whatever the frame's: text is sharp, and a click means
the pixel that is under it.
"""

import numpy as np

from apps.webcam import panel
from apps.webcam.canvas import ACCENT, BACKGROUND, RED, Canvas, Target
from apps.webcam.controls import PHRASES, TOOLBAR, Controls
from apps.webcam.scene import Image, Scene
from sdk._internal.opencv import cv2
from sdk.outputs.drawing import MUTED, WHITE, Rect, draw, draw_dashed, to_ascii

LEAST_WH, MOST_WH = (800, 500), (1920, 1200)
"""Of what is drawn: windows that are smaller or larger show it reduced or enlarged."""

LABELS = {"pause": "Pause", "step": "Step", "snapshot": "Snapshot", "record": "Record"}
LABELS |= {"tracking": "Tracking", "teach": "Teach", "why": "Why?", "help": "Help", "quit": "Quit"}


def compose(
    size_wh: tuple[int, int],
    scene: Scene,
    controls: Controls,
    pointer: tuple[int, int] | None = None,
) -> tuple[Image, list[Target]]:
    """A (height, width, 3) uint8 BGR picture of the size, and where it can be clicked.

    `pointer`: the mouse in it, to light up what is under it.
    """
    canvas = Canvas(size_wh, pointer)
    width, height = size_wh
    area = picture_area(size_wh)
    _, _, split, floor = area
    if scene.frame is not None:
        _draw_picture(canvas, area, scene, controls)
    _draw_toolbar(canvas, (0, floor, width, height), scene, controls)
    panel.draw_panel(canvas, (split, 0, width, floor), scene, controls)
    if controls.helping:
        _draw_help(canvas, area)
    _draw_prompt(canvas, area, scene, controls)
    return canvas.image, canvas.targets


def canvas_wh(window_wh: tuple[int, int]) -> tuple[int, int]:
    """Size to draw at for a window of this size: its own, or one of its shape within the limits."""
    grow = max(1.0, *(least / side for least, side in zip(LEAST_WH, window_wh, strict=True)))
    shrink = min(1.0, *(most / side for most, side in zip(MOST_WH, window_wh, strict=True)))
    width, height = (
        min(max(least, round(side * grow * shrink)), most)
        for least, side, most in zip(LEAST_WH, window_wh, MOST_WH, strict=True)
    )
    return width, height


def picture_area(size_wh: tuple[int, int]) -> Rect:
    """Where the picture is shown in a window of this size."""
    return 0, 0, size_wh[0] - panel_width(size_wh), size_wh[1] - toolbar_height(size_wh)


def dragged_box(
    drag: tuple[tuple[int, int], tuple[int, int]],
    frame_wh: tuple[int, int],
    size_wh: tuple[int, int],
) -> Rect | None:
    """A box drawn in a window of this size, in pixels of the frame; None for one beside it."""
    left, top, right, bottom = fitted(frame_wh, picture_area(size_wh))
    scale = frame_wh[0] / (right - left), frame_wh[1] / (bottom - top)
    xs, ys = zip(*drag, strict=True)
    x1, x2 = (min(max(round((x - left) * scale[0]), 0), frame_wh[0]) for x in (min(xs), max(xs)))
    y1, y2 = (min(max(round((y - top) * scale[1]), 0), frame_wh[1]) for y in (min(ys), max(ys)))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def panel_width(size_wh: tuple[int, int]) -> int:
    return min(380, max(250, size_wh[0] // 4))


def toolbar_height(size_wh: tuple[int, int]) -> int:
    return 2 * Canvas.pen_for(size_wh).row + 4


def window_wh(frame_wh: tuple[int, int], most_wh: tuple[int, int]) -> tuple[int, int]:
    """Size of a window that shows a frame well: small ones enlarged, `most_wh` at most."""
    (width, height), size_wh = frame_wh, most_wh
    for _ in range(3):  # what stands beside the picture depends on the size that is looked for
        side, bar = panel_width(size_wh), toolbar_height(size_wh)
        scale = min((most_wh[0] - side) / width, (most_wh[1] - bar) / height)
        scale = min(scale, max(1.0, 480 / min(frame_wh)))
        size_wh = round(width * scale) + side, round(height * scale) + bar
    return max(LEAST_WH[0], size_wh[0]), max(LEAST_WH[1], size_wh[1])


def fitted(frame_wh: tuple[int, int], area: Rect) -> Rect:
    """Where a frame of this size is shown in `area`: as large as it fits, in the middle."""
    left, top, right, bottom = area
    scale = min((right - left) / frame_wh[0], (bottom - top) / frame_wh[1])
    width, height = (max(16, round(side * scale)) for side in frame_wh)
    x, y = left + (right - left - width) // 2, top + (bottom - top - height) // 2
    return x, y, x + width, y + height


def _draw_picture(canvas: Canvas, area: Rect, scene: Scene, controls: Controls) -> None:
    assert scene.frame is not None
    height, width = scene.frame.shape[:2]
    left, top, right, bottom = fitted((width, height), area)
    size_wh = right - left, bottom - top
    smaller = size_wh[0] < width
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(scene.frame, size_wh, interpolation=interpolation), np.uint8)
    scale = size_wh[0] / width, size_wh[1] / height
    results = [result.scaled(*scale) for result in scene.results]
    asked = [result for result in results if result.text in controls.phrases]
    if controls.explaining:
        for result in asked:
            if not result.found:
                draw_dashed(view, result.box, controls.colour(result.text))
    found = [result for result in asked if result.found]
    colours = [controls.colour(result.text) for result in found]
    if scene.dragged:
        edges = [round(e * s) for e, s in zip(scene.dragged, scale * 2, strict=True)]
        draw_dashed(view, edges, controls.colour(controls.phrases[-1]))
    canvas.image[top:bottom, left:right] = draw(view, found, colours=colours)


def _draw_toolbar(canvas: Canvas, area: Rect, scene: Scene, controls: Controls) -> None:
    left, top, right, bottom = area
    labels = LABELS | {"precision": scene.precision}
    if scene.loading:
        labels["precision"] = "loading"
    if controls.paused:
        labels["pause"] = "Go on"
    if scene.recorded is not None:
        labels["record"] = clock(scene.recorded)
    lit = {
        "pause": controls.paused,
        "record": controls.recording,
        "tracking": controls.tracking,
        "teach": controls.teaching,
        "why": controls.explaining,
        "help": controls.helping,
    }
    edges = np.linspace(left, right, len(TOOLBAR) + 1).astype(int).tolist()
    for command, start, end in zip(TOOLBAR, edges, edges[1:], strict=False):
        colour = RED if command.name == "record" else ACCENT
        rect = (start + 1, top + 2, end - 1, bottom - 1)
        canvas.button(
            rect,
            Target(rect, command.name),
            (labels[command.name], command.key),
            colour if lit.get(command.name) else None,
        )


def _draw_help(canvas: Canvas, area: Rect) -> None:
    pen, (left, top, right, bottom) = canvas.pen, area
    lines = [(command.key, command.does) for command in (*TOOLBAR, *PHRASES)]
    column = max(pen.width(key) for key, _ in lines) + 5 * pen.pad
    width = min(right - left, column + max(pen.width(text) for _, text in lines) + 4 * pen.pad)
    height = min(bottom - top, (len(lines) + 1) * pen.row)
    x, y = (left + right - width) // 2, top + max(0, (bottom - top - height) // 3)
    rect = (x, y, x + width, y + height)
    canvas.fill(rect, BACKGROUND, 0.88)
    canvas.targets.append(Target(rect, "help"))
    y += pen.row // 2
    for key, text in lines:
        canvas.text(key, (x + 2 * pen.pad, y), ACCENT)
        canvas.text(text, (x + column, y), WHITE, x + width - pen.pad)
        y += pen.row


def _draw_prompt(canvas: Canvas, area: Rect, scene: Scene, controls: Controls) -> None:
    """What is typed, messages and the source's state, from the bottom of the picture up."""
    pen, (left, _, right, bottom) = canvas.pen, area
    y = bottom
    if controls.prompt is not None:
        y -= pen.row + 4
        canvas.fill((left, y, right, bottom), BACKGROUND, 0.92)
        edge = right
        for name, label in (("cancel", "Cancel"), ("accept", "Find")):
            rect = (edge - pen.width(label) - 6 * pen.pad, y + 1, edge - 2, bottom - 1)
            canvas.button(rect, Target(rect, name), (label,), ACCENT if name == "accept" else None)
            edge = rect[0]
        # Its end is what is being typed: a long text loses its beginning.
        text = to_ascii(controls.prompt)
        room = edge - left - 4 * pen.pad
        while pen.width(text) > room and len(text) > 1:
            text = text[1:]
        canvas.text(text, (left + 2 * pen.pad, y + 2), WHITE)
    for text, colour in ((controls.message, WHITE), (scene.notice, MUTED)):
        lines = canvas.wrapped(text, right - left - 4 * pen.pad) if text else []
        if not lines:
            continue
        y -= len(lines) * pen.row
        width = max(map(pen.width, lines)) + 4 * pen.pad
        canvas.fill((left, y, left + width, y + len(lines) * pen.row), BACKGROUND, 0.85)
        for number, line in enumerate(lines):
            canvas.text(line, (left + 2 * pen.pad, y + number * pen.row), colour)


def clock(seconds: float) -> str:
    """As 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
