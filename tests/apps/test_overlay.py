"""What the window shows lies where it can be clicked, whole and on the right thing, at any size."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from apps.webcam.canvas import BACKGROUND, Canvas, Target, target_at
from apps.webcam.controls import TOOLBAR, Controls
from apps.webcam.meter import Sample
from apps.webcam.overlay import (
    LEAST_WH,
    MOST_WH,
    canvas_wh,
    compose,
    dragged_box,
    fitted,
    panel_width,
    picture_area,
    toolbar_height,
    window_wh,
)
from apps.webcam.scene import Scene
from sdk import Grounding
from sdk.outputs.drawing import PALETTE, Rect

SIZES = [(800, 500), (890, 522), (1280, 800), (1920, 1200), (800, 1200), (1920, 500)]
PHRASES = ["the dog on the left", "a cat", "a xylophone " * 8]


def plain(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, np.uint8)


def controls(*keys: str, phrases: list[str] = PHRASES) -> Controls:
    pressed = Controls(phrases)
    for key in "".join(keys):
        pressed.press(ord(key))
    return pressed


def full_scene() -> Scene:
    """With something of everything."""
    results = [
        Grounding(PHRASES[0], (10, 20, 60, 80), 0.87, True),
        Grounding(PHRASES[1], (70, 20, 120, 80), 0.2, False),
    ]
    return Scene(
        frame=plain(160, 120),
        results=results,
        rates=["30.0 frames/s shown", "12.0 groundings/s", "fp32 on cpu, 160 x 120"],
        samples=[Sample(0.005, 0.02 if i % 3 else None) for i in range(200)][-120:],
        reasons={PHRASES[1]: ["score 0.20 of 0.36 needed", "best guess: right"]},
        precision="fp32",
        recorded=65.0,
        notice="paused",
    )


def rect_of(targets: list[Target], name: str, phrase: int = 0) -> Rect:
    (rect,) = (t.rect for t in targets if (t.name, t.phrase) == (name, phrase))
    return rect


def part(image: NDArray[np.uint8], rect: Rect) -> NDArray[np.uint8]:
    return image[rect[1] : rect[3], rect[0] : rect[2]]


def centre(rect: Rect) -> tuple[int, int]:
    return (rect[0] + rect[2]) // 2, (rect[1] + rect[3]) // 2


def apart(a: Rect, b: Rect) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize("keys", ["", "w", "wh", "w\tthe dog; a cat"])
def test_every_button_is_whole_and_none_lies_on_another(
    size_wh: tuple[int, int], keys: str
) -> None:
    image, targets = compose(size_wh, full_scene(), controls(keys))
    assert image.shape == (size_wh[1], size_wh[0], 3)
    for left, top, right, bottom in (target.rect for target in targets):
        assert 0 <= left < right <= size_wh[0] and 0 <= top < bottom <= size_wh[1]
        assert min(right - left, bottom - top) >= 15
    for one, other in combinations(targets, 2):
        assert apart(one.rect, other.rect), (one, other)
    names = [target.name for target in targets]
    assert {command.name for command in TOOLBAR} <= set(names)
    assert names.count("edit") == names.count("remove") == 3 and "add" in names
    assert ("accept" in names) == ("\t" in keys)


def test_a_click_means_what_was_drawn_last_under_it() -> None:
    _, targets = compose((800, 500), full_scene(), controls("h"))
    for target in targets:
        assert target_at(targets, centre(target.rect)) == target
    assert target_at(targets, (2, 2)) is None
    on_top = [Target((0, 0, 9, 9), "below"), Target((0, 0, 5, 5), "above")]
    hits = [target_at(on_top, point) for point in ((4, 4), (5, 5), (9, 9))]
    assert [hit and hit.name for hit in hits] == ["above", "below", None]


@pytest.mark.parametrize("frame_wh", [(320, 240), (1280, 720), (240, 320), (64, 48), (600, 200)])
@pytest.mark.parametrize("window", [(890, 522), (1600, 600), (400, 300)])
def test_a_box_lies_on_its_place_in_the_frame(
    frame_wh: tuple[int, int], window: tuple[int, int]
) -> None:
    """A white patch in the frame is exactly what the box of the patch surrounds."""
    frame = plain(*frame_wh) // 3
    edges = [
        side * fraction // 4 for side, fraction in zip(2 * frame_wh, (1, 1, 3, 3), strict=True)
    ]
    left, top, right, bottom = edges
    frame[top:bottom, left:right] = 255
    result = Grounding("a cat", (left, top, right, bottom), 0.9, True)
    size_wh = canvas_wh(window)
    scene = Scene(frame=frame, results=[result])
    image, _ = compose(size_wh, scene, controls(phrases=["a cat"]))
    area = (0, 0, size_wh[0] - panel_width(size_wh), size_wh[1] - toolbar_height(size_wh))
    x, y, end, floor = fitted(frame_wh, area)
    assert (end - x) / (floor - y) == pytest.approx(frame_wh[0] / frame_wh[1], rel=0.5)
    picture = part(image, (x, y, end, floor))
    height, width = picture.shape[:2]
    coloured = (picture == PALETTE[0]).all(axis=-1)
    middle = coloured[height // 2], coloured[:, width // 2]
    for line, at in zip(middle, (width, height), strict=True):
        hits = np.flatnonzero(line)
        assert abs(hits.min() - at / 4) <= 4 and abs(hits.max() - 3 * at / 4) <= 4
    assert (picture[height // 2 - 1, 3 * width // 8 : width // 2] == 255).all(), (
        "the patch is inside"
    )


@pytest.mark.parametrize("frame_wh", [(2000, 32), (32, 2000)])
def test_a_frame_of_any_shape_is_shown(frame_wh: tuple[int, int]) -> None:
    scene = full_scene()
    scene.frame = plain(*frame_wh)
    image, _ = compose((800, 500), scene, controls())
    picture = image[: 500 - toolbar_height((800, 500)), : 800 - panel_width((800, 500))]
    assert ((picture == 90).all(axis=-1).mean() > 0.01) and image.shape == (500, 800, 3)


def test_only_phrases_that_are_looked_for_are_drawn_in_their_own_colours() -> None:
    scene = full_scene()
    scene.results = [
        Grounding("gone", (10, 20, 60, 80), 0.9, True),
        Grounding("a cat", (70, 20, 120, 80), 0.9, True),
    ]
    wanted = Controls(["a dog", "a cat"])
    wanted.click("remove", 0)
    image, _ = compose((800, 500), scene, wanted)
    width = 800 - panel_width((800, 500))
    drawn = [(image[:, :width] == colour).all(axis=-1).any() for colour in PALETTE[:2]]
    assert drawn == [False, True]


def test_the_guess_is_dashed_only_when_asked() -> None:
    counts = []
    for keys in ("", "w"):
        image, _ = compose((800, 500), full_scene(), controls(keys))
        picture = image[:, : 800 - panel_width((800, 500))]
        counts.append(int((picture == PALETTE[1]).all(axis=-1).sum()))
    assert counts[0] == 0 < counts[1]


def test_why_is_written_when_asked_and_says_when_there_is_nothing() -> None:
    size_wh = (1280, 800)
    silent, asked = (compose(size_wh, full_scene(), controls(keys))[0] for keys in ("", "w"))
    assert (silent[:, -panel_width(size_wh) :] != asked[:, -panel_width(size_wh) :]).any()
    scene = full_scene()
    scene.reasons = {}
    nothing, _ = compose(size_wh, scene, controls("w"))
    assert (nothing != silent).any() and (nothing != asked).any()


@pytest.mark.parametrize("count", [1, 8, 9, 40])
@pytest.mark.parametrize("keys", ["", "w"])
def test_phrases_that_are_too_many_stay_in_the_panel(count: int, keys: str) -> None:
    phrases = [f"phrase {number}" for number in range(count)]
    scene = full_scene()
    scene.reasons = {phrase: ["a reason that is long " * 5] * 3 for phrase in phrases}
    size_wh = (800, 500)
    image, targets = compose(size_wh, scene, controls(keys, phrases=phrases))
    shown = [target for target in targets if target.name == "edit"]
    assert 0 < len(shown) <= count and [target.phrase for target in shown] == list(
        range(len(shown))
    )
    for one, other in combinations(targets, 2):
        assert apart(one.rect, other.rect)
    # Nothing of the panel reaches the toolbar.
    few, _ = compose(size_wh, full_scene(), controls(keys))
    bar = toolbar_height(size_wh)
    assert (image[-bar:] == few[-bar:]).all()


def test_the_toolbar_says_what_is_on() -> None:
    def labels(scene: Scene, *keys: str) -> dict[str, bytes]:
        image, targets = compose((800, 500), scene, controls(*keys))
        return {c.name: part(image, rect_of(targets, c.name)).tobytes() for c in TOOLBAR}

    def changed(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
        return {name for name in one if one[name] != other[name]}

    off = labels(full_scene())
    for key, name in ((" ", "pause"), ("t", "tracking"), ("w", "why"), ("r", "record")):
        assert changed(off, labels(full_scene(), key)) == {name}
    scene = full_scene()
    scene.precision = "int8"
    other = labels(scene)
    scene.loading = True
    assert changed(off, other) == changed(other, labels(scene)) == {"precision"}
    scene = full_scene()
    scene.recorded = 66.0
    assert changed(off, labels(scene)) == {"record"}


def test_what_is_under_the_mouse_lights_up() -> None:
    size_wh = (800, 500)
    dark, targets = compose(size_wh, full_scene(), controls())
    rect = rect_of(targets, "step")
    lit, _ = compose(size_wh, full_scene(), controls(), centre(rect))
    different = (dark != lit).any(axis=-1)
    assert part(different, rect).any()
    part(different, rect)[:] = False
    assert not different.any()


def test_a_long_text_shows_the_end_that_is_typed() -> None:
    long = controls("\t", "a dog and " * 30)
    before, targets = compose((800, 500), full_scene(), long)
    long.press(ord("x"))
    after, _ = compose((800, 500), full_scene(), long)
    edge = rect_of(targets, "accept")[0]
    top = rect_of(targets, "accept")[1]
    assert (before[top:, edge - 60 : edge] != after[top:, edge - 60 : edge]).any()
    assert (before[top:, edge:] == after[top:, edge:]).all()


def test_before_the_first_frame() -> None:
    image, targets = compose((800, 500), Scene(notice="no frame for 3 s"), controls())
    assert target_at(targets, centre(rect_of(targets, "quit")))
    assert tuple(image[100, 100]) == BACKGROUND


def test_sizes_of_windows() -> None:
    assert canvas_wh((890, 522)) == (890, 522)
    assert canvas_wh((400, 300)) == (800, 600)
    assert canvas_wh((3840, 2160)) == (1920, 1080)
    assert canvas_wh((1, 5000)) == (LEAST_WH[0], MOST_WH[1])
    small, large = window_wh((320, 240), (1280, 800)), window_wh((1280, 720), (1280, 800))
    assert small[0] - panel_width(small) == 640 and large[0] <= 1280
    assert window_wh((100, 4000), (1280, 800)) == (800, 800)


def test_wrapped_text_fits() -> None:
    canvas = Canvas((800, 500))
    lines = canvas.wrapped("expected words " * 20 + "w" * 300, 300)
    assert len(lines) > 3
    assert all(canvas.pen.width(line) <= 300 for line in lines)
    assert "".join(lines).count("expected") == 20


@given(
    st.tuples(st.integers(16, 4000), st.integers(16, 4000)),
    st.tuples(st.integers(800, 1920), st.integers(500, 1200)),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_drawn_in_the_window_is_where_it_was_drawn_in_the_frame(
    frame_wh: tuple[int, int], size_wh: tuple[int, int], fractions: tuple[float, ...]
) -> None:
    left, top, right, bottom = fitted(frame_wh, picture_area(size_wh))
    x1, y1, x2, y2 = fractions
    drag = (
        (round(left + x1 * (right - left)), round(top + y1 * (bottom - top))),
        (round(left + x2 * (right - left)), round(top + y2 * (bottom - top))),
    )
    box = dragged_box(drag, frame_wh, size_wh)
    if box is None:  # it has no area
        across, down = (abs(start - end) for start, end in zip(*drag, strict=True))
        assert across * frame_wh[0] <= right - left or down * frame_wh[1] <= bottom - top
        return
    steps = frame_wh[0] / (right - left), frame_wh[1] / (bottom - top)
    wanted = [*sorted((x1, x2)), *sorted((y1, y2))]
    found = [box[0], box[2], box[1], box[3]]
    sides = [frame_wh[0], frame_wh[0], frame_wh[1], frame_wh[1]]
    for got, fraction, side, step in zip(found, wanted, sides, np.repeat(steps, 2), strict=True):
        assert abs(got - fraction * side) <= step + 1


def test_a_box_beside_the_picture_is_none() -> None:
    left, *_ = fitted((100, 400), picture_area((1200, 700)))
    assert left > 20
    assert dragged_box(((0, 10), (left - 5, 60)), (100, 400), (1200, 700)) is None
