"""What is drawn is where it should be, whole and readable, on pictures of any size."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sdk import Grounding, GroundingError, draw
from sdk.outputs.drawing import MUTED, PALETTE, draw_dashed, draw_lines, to_ascii, write_image

Box = tuple[float, float, float, float]


def blank(width: int, height: int, value: int = 0) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def found(text: str, box: Box) -> Grounding:
    return Grounding(text, box, 0.87, True)


def missing(text: str) -> Grounding:
    return Grounding(text, (10, 10, 90, 90), 0.03, False)


def where(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """(H, W): pixels of exactly this colour."""
    mask: NDArray[np.bool_] = (image == colour).all(axis=-1)
    return mask


def label_rows(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """Height of a label: rows with more of the colour than a box's vertical edges have.

    A horizontal edge of the box beside it adds a row or two.
    """
    return int((where(image, colour).sum(axis=1) > 20).sum())


def test_the_frame_itself_is_left_alone() -> None:
    frame = blank(320, 240)
    image = draw(frame, found("a dog", (40, 60, 200, 200)))
    assert not frame.any()
    assert (image.shape, image.dtype) == (frame.shape, np.uint8)


def test_the_box_is_drawn_on_its_edges() -> None:
    image = draw(blank(320, 240), found("a dog", (40, 60, 200, 180)))
    for x, y in ((40, 120), (200, 120), (120, 60), (120, 180)):
        assert tuple(image[y, x]) == PALETTE[0]
    assert not image[65:175, 45:195].any()


def test_each_phrase_keeps_its_colour_also_when_others_are_not_found() -> None:
    boxes = [(40.0, 60.0, 90.0, 180.0), (120.0, 60.0, 170.0, 180.0)]
    both = draw(blank(320, 240), [found("a", boxes[0]), found("b", boxes[1])])
    second = draw(blank(320, 240), [missing("a"), found("b", boxes[1])])
    assert tuple(both[120, 120]) == tuple(second[120, 120]) == PALETTE[1]


def test_colours_of_ones_own() -> None:
    boxes = [(40.0, 60.0, 90.0, 180.0), (120.0, 60.0, 170.0, 180.0)]
    results = [found("a", boxes[0]), found("b", boxes[1])]
    image = draw(blank(320, 240), results, colours=[(1, 2, 3), (4, 5, 6)])
    assert tuple(image[120, 40]) == (1, 2, 3) and tuple(image[120, 120]) == (4, 5, 6)
    one = draw(blank(320, 240), results, colours=[(1, 2, 3)])
    assert tuple(one[120, 40]) == tuple(one[120, 120]) == (1, 2, 3)
    assert (draw(blank(320, 240), [], colours=[]) == 0).all()


def test_a_guess_is_dashed() -> None:
    """Every edge has the colour and gaps; nothing else is touched."""
    image = blank(640, 480, value=200)
    draw_dashed(image, (100, 50, 300, 400), PALETTE[0])
    for edge in (image[50, 100:301], image[400, 100:301], image[50:401, 100], image[50:401, 300]):
        share = (edge == PALETTE[0]).all(axis=-1).mean()
        assert 0.4 < share < 0.7
        assert ((edge == PALETTE[0]).all(axis=-1) | (edge == 0).all(axis=-1)).all()
    changed = (image != 200).any(axis=-1)
    changed[48:53], changed[398:403], changed[:, 98:103], changed[:, 298:303] = 4 * [False]
    assert not changed.any()


@given(st.tuples(*[st.floats(-500, 900)] * 4))
def test_a_dashed_box_may_lie_anywhere(box: Box) -> None:
    draw_dashed(blank(64, 48), box, PALETTE[0])


def test_what_is_not_found_gets_a_muted_line_and_no_box() -> None:
    image = draw(blank(320, 240, value=80), missing("an elephant"))
    changed = (image != 80).any(axis=-1)
    assert 140 < image.max() <= max(MUTED)
    assert changed[200:].any() and not changed[:200].any()


@pytest.mark.parametrize("size_wh", [(160, 120), (640, 480), (1920, 1080), (4000, 3000)])
def test_text_keeps_its_share_of_the_picture(size_wh: tuple[int, int]) -> None:
    ((_, top, right, bottom),) = draw_lines(blank(*size_wh), ["24 FPS"])
    assert bottom - top >= 12
    assert 0.03 <= (bottom - top) / min(size_wh) <= 0.15
    assert right <= size_wh[0] // 2


@pytest.mark.parametrize("box", [(0, 0, 30, 40), (290, 0, 320, 240), (0, 200, 30, 240)])
def test_the_label_is_whole_at_the_border(box: Box) -> None:
    middle = draw(blank(320, 240), found("a dog", (130, 100, 160, 140)))
    border = draw(blank(320, 240), found("a dog", box))
    assert label_rows(middle, PALETTE[0]) > 10
    assert label_rows(border, PALETTE[0]) >= label_rows(middle, PALETTE[0]) - 2
    widths = [where(image, PALETTE[0]).sum(axis=1).max() for image in (middle, border)]
    assert widths[1] >= widths[0]


def test_labels_of_the_same_box_do_not_hide_each_other() -> None:
    box = (40.0, 60.0, 200.0, 180.0)
    image = draw(blank(320, 240), [found("a dog", box), found("an animal", box)])
    alone = draw(blank(320, 240), found("a dog", box))
    for colour in PALETTE[:2]:
        assert label_rows(image, colour) >= label_rows(alone, PALETTE[0]) - 4  # but for box edges


def test_a_long_phrase_keeps_its_score() -> None:
    box, text = (0.0, 60.0, 160.0, 110.0), "a dog " * 30
    images = [draw(blank(160, 120), Grounding(text, box, score, True)) for score in (0.87, 0.11)]
    assert (images[0] != images[1]).any()


def test_a_label_does_not_cover_the_header() -> None:
    header = draw(blank(320, 240), [], header=["24 FPS"]).min(axis=-1) > 150
    assert header.any() and not header[40:].any()
    labelled = draw(blank(320, 240), found("a dog", (0, 0, 300, 235)), header=["24 FPS"])
    assert (labelled.min(axis=-1)[header] > 150).mean() > 0.5  # a box's line may cross a letter


def test_lines_that_are_too_many_are_counted() -> None:
    strips = draw_lines(blank(160, 120), [f"line {i}" for i in range(100)], at_bottom=True)
    assert len(strips) < 12
    assert strips[0][1] >= 0 and strips[-1][3] <= 120


@given(
    width=st.integers(8, 400),
    height=st.integers(8, 300),
    phrases=st.lists(
        st.tuples(st.text(max_size=80), st.booleans(), *[st.floats(-500, 900)] * 4), max_size=6
    ),
)
def test_any_result_fits_on_any_picture(
    width: int, height: int, phrases: list[tuple[str, bool, float, float, float, float]]
) -> None:
    results = [Grounding(text, box, 0.5, is_found) for text, is_found, *box in phrases]  # type: ignore[arg-type]
    image = draw(blank(width, height), results, header=["24 FPS"])
    assert image.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("the caf\u00e9\u2019s \u201ccr\u00e8me\u201d", 'the cafe\'s "creme"'),
        ("Straße in Łódź", "Strasse in ?odz"),
        ("狗 dog", "? dog"),
        ("two\nlines\tand  gaps", "two lines and gaps"),
    ],
)
def test_text_is_reduced_to_what_the_font_has(text: str, ascii_text: str) -> None:
    assert to_ascii(text) == ascii_text


def test_pictures_are_written_in_the_format_of_their_name(tmp_path: Path) -> None:
    image = draw(blank(64, 48), found("a dog", (10, 10, 40, 40)))
    write_image(tmp_path / "out.png", image)
    assert (cv2.imread(str(tmp_path / "out.png")) == image).all()


@pytest.mark.parametrize(
    ("name", "advice"), [("out.docx", "out.jpg"), ("out", "out.jpg"), ("no/out.jpg", "No such")]
)
def test_a_picture_that_cannot_be_written(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(GroundingError, match=advice):
        write_image(tmp_path / name, blank(64, 48))
