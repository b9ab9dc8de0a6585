"""Data of one's own: pixels to fractions, absent things, and every bad line named."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sdk.bundle.tokenizer import WordPieceTokenizer
from tests.tiny import tiny_text_encoder, tiny_training
from train.__main__ import main
from train.data.__main__ import main as look
from train.data.readers import read_detection, read_expressions
from train.data.samples import DataError, Expression, Photo
from train.data.sheets import GREEN
from train.features import check_phrases
from train.questions import absent_questions, caption_questions


def write(root: Path, split: str, *lines: Any) -> Path:
    """A split of lines about two pictures of 40 x 20 pixels."""
    root.mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(root / name), np.full((20, 40, 3), 128, np.uint8))
    path = root / f"{split}.jsonl"
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )
    return path


def line(
    image: str = "a.png", phrase: Any = "the mug", box: Any = (4, 5, 20, 10)
) -> dict[str, Any]:
    return {"image": image, "phrase": phrase, "box": box}


def test_lines_of_one_image_are_one_photo_with_boxes_in_fractions(tmp_path: Path) -> None:
    write(tmp_path, "train", line(), line("b.png"), line(phrase="the laptop", box=(0, 0, 40, 20)))
    first, second = read_expressions(tmp_path, "train")
    assert first.path == tmp_path / "a.png" and second.path == tmp_path / "b.png"
    assert [e.boxes for e in first.expressions] == [((0.1, 0.25, 0.5, 0.5),), ((0, 0, 1, 1),)]
    assert read_detection(tmp_path, "train") == []


def test_a_byte_order_mark_and_blank_lines_are_no_matter(tmp_path: Path) -> None:
    path = write(tmp_path, "train", line(), "\n", line("b.png"), "\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_expressions(tmp_path, "train")) == 2
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_expressions(tmp_path, "train")


def test_a_split_needs_a_box(tmp_path: Path) -> None:
    write(tmp_path, "val", line(box=None))
    with pytest.raises(DataError, match="at least one line with a box"):
        read_expressions(tmp_path, "val")


def test_a_phrase_too_long_for_the_text_encoder_is_refused_before_training(tmp_path: Path) -> None:
    photo = Photo(tmp_path / "a.png", (Expression("dog " * 70, ()),))
    tokenizer = WordPieceTokenizer.from_file(tiny_text_encoder(tmp_path) / "vocab.txt", 64)
    with pytest.raises(DataError, match=r"a\.png.*64"):
        check_phrases([photo], tokenizer)


def test_null_says_that_it_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "train", line())
    write(tmp_path, "val", line(), line(phrase="a dog", box=None))
    ((_, present),) = caption_questions(tmp_path)
    ((_, absent),) = absent_questions(tmp_path)
    assert [e.text for e in present] == ["the mug"]
    assert [e.text for e in absent] == ["a dog"]


def test_a_kind_is_kept(tmp_path: Path) -> None:
    write(tmp_path, "train", line() | {"kind": "referring"}, line("b.png"))
    first, second = read_expressions(tmp_path, "train")
    assert (first.expressions[0].kind, second.expressions[0].kind) == ("referring", "other")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"image": "a.png", "phrase": "x"}, "box"),
        (line(image="c.png"), "c.png"),
        (line(phrase="  "), "letter or digit"),
        (line(phrase=7), "string"),
        (line() | {"kind": 3}, "kind"),
        (line(box=(1, 2, 3)), "x1, y1, x2, y2"),
        (line(box=(20, 5, 4, 10)), "x1 < x2"),
        (line(box=(4, 5, 20, 21)), "40x20"),
        (line(box="4 5 20 10"), "x1, y1, x2, y2"),
        (line(box="1259"), "x1, y1, x2, y2"),
        ("not json\n", "not JSON"),
        ([1], "object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: Any, says: str) -> None:
    path = write(tmp_path, "train", line(), bad)
    with pytest.raises(DataError, match=says) as error:
        read_expressions(tmp_path, "train")
    assert f"{path}:2" in str(error.value)


def test_training_runs_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "own"
    for split in ("train", "val"):
        write(root, split, line(), line("b.png", "the car"), line("b.png", "a dog", None))
    assert main(tiny_training(tmp_path, 1, "--data", root, "--out", tmp_path / "run")) == 0
    assert "Acc@0.5" in capsys.readouterr().out


def test_the_data_is_checked_counted_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "own", tmp_path / "samples"
    write(root, "train", line(), line("b.png", "a dog", None))
    write(root, "val", line())
    assert look(["--data", str(root), "--show", "9", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "train: 2 photos, 1 phrases (other 1), 1 absent" in printed
    sheet = cv2.imread(str(out / "samples00.jpg"))
    green = abs(sheet.astype(int) - GREEN).sum(-1) < 60
    assert green.any()  # the mug's box; nothing is drawn for the absent dog
    write(root, "val", line(box=(0, 0, 0, 0)))
    assert look(["--data", str(root)]) == 2
    assert "val.jsonl:1" in capsys.readouterr().err
