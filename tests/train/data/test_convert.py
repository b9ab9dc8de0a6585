"""Datasets of the field to JSONL: box forms, splits, leaks, and pickles that may not run code."""

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from train.data.convert import main
from train.data.own import read_own
from train.data.samples import REFERRING

WIDTH, HEIGHT = 100, 50


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return folder


def convert(images: Path, form: str, file: Path, *flags: str, out: str = "train.jsonl") -> int:
    target = str(images.parent / "data" / out)
    return main([form, str(file), "--images", str(images), "--out", target, *flags])


def converted(images: Path) -> list[tuple[str, str, tuple[float, ...]]]:
    """(picture, phrase, box in pixels), as training will read it."""
    photos = read_own(images.parent / "data", "train")
    size = np.array([WIDTH, HEIGHT] * 2)
    return [
        (p.path.name, e.text, tuple(np.round(np.array(e.boxes[0]) * size, 6)))
        for p in photos
        for e in p.expressions
    ]


def test_mdetr_boxes_are_left_top_width_height(images: Path, tmp_path: Path) -> None:
    file = tmp_path / "finetune_refcoco_train.json"
    record = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "caption": "left dog"},
            {"id": 8, "file_name": "b.jpg", "caption": "the far cup"},
        ],
        "annotations": [
            {"image_id": 8, "bbox": [60, 10, 50, 20]},  # reaches over the right edge
            {"image_id": 7, "bbox": [10, 5, 20, 30]},
        ],
    }
    file.write_text(json.dumps(record))
    assert convert(images, "mdetr", file) == 0
    assert converted(images) == [
        ("a.jpg", "left dog", (10, 5, 30, 35)),
        ("b.jpg", "the far cup", (60, 10, 100, 30)),
    ]


def test_refer_gives_every_sentence_of_one_split(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "refs(unc).p"
    refs = [
        {"split": "train", "image_id": 1, "ann_id": 5, "sentences": [{"sent": "x"}, {"sent": "y"}]},
        {"split": "val", "image_id": 1, "ann_id": 5, "sentences": [{"sent": "z"}]},
    ]
    file.write_bytes(pickle.dumps(refs))
    instances = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 5, "bbox": [1, 2, 3, 4]}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    assert convert(images, "refer", file) == 0
    assert converted(images) == [("a.jpg", "x", (1, 2, 4, 6)), ("a.jpg", "y", (1, 2, 4, 6))]
    assert convert(images, "refer", file, "--split", "val") == 0
    assert [phrase for _, phrase, _ in converted(images)] == ["z"]
    before = (images.parent / "data" / "train.jsonl").read_bytes()
    assert convert(images, "refer", file, "--split", "testa") == 2
    assert "--split: expected one of train, val, got 'testa'" in capsys.readouterr().err
    assert (images.parent / "data" / "train.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "entry", "box"),
    [
        ("unc_train.pth", ("a.jpg", "_", [10, 5, 20, 30], "dog", None), (10, 5, 30, 35)),
        ("gref_umd_val.pth", ("a.jpg", "_", [10, 5, 20, 30], "dog", None), (10, 5, 30, 35)),
        ("referit_train.pth", ("a.jpg", "_", [10, 5, 30, 35], "dog", None), (10, 5, 30, 35)),
        ("flickr_train.pth", ("a.jpg", [10, 5, 30, 35], "dog"), (10, 5, 30, 35)),
    ],
)
def test_transvg_boxes_depend_on_the_dataset(
    images: Path, tmp_path: Path, name: str, entry: Any, box: tuple[int, ...]
) -> None:
    torch.save([entry], tmp_path / name)
    assert convert(images, "transvg", tmp_path / name) == 0
    assert converted(images) == [("a.jpg", "dog", box)]


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "ran")


@pytest.mark.parametrize("form", ["refer", "transvg"])
def test_a_pickle_may_not_run_code_unless_trusted(
    images: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "instances.json").write_text('{"images": [], "annotations": []}')
    file = tmp_path / ("refs(unc).p" if form == "refer" else "unc_train.pth")
    if form == "refer":
        file.write_bytes(pickle.dumps(Trap(ran)))
    else:
        torch.save(Trap(ran), file)
    assert convert(images, form, file) == 2
    assert "--trust-pickle" in capsys.readouterr().err
    assert not ran.exists() and not (tmp_path / "data").exists()
    assert convert(images, form, file, "--trust-pickle") == 2  # its content is no dataset
    assert ran.read_text() == "ran"


def test_pictures_of_another_split_are_left_out(images: Path, tmp_path: Path) -> None:
    entries = [(f"{n}.jpg", "_", [1, 2, 3, 4], f"dog {n}", None) for n in "ab"]
    torch.save(entries[1:], tmp_path / "gref_umd_val.pth")
    torch.save(entries, tmp_path / "gref_train.pth")
    assert convert(images, "transvg", tmp_path / "gref_umd_val.pth", out="val.jsonl") == 0
    val = str(tmp_path / "data" / "val.jsonl")
    assert convert(images, "transvg", tmp_path / "gref_train.pth", "--exclude", val) == 0
    assert [name for name, *_ in converted(images)] == ["a.jpg"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (("c.jpg", "_", [1, 2, 3, 4], "dog", None), "c.jpg"),
        (("a.jpg", "_", [200, 2, 3, 4], "dog", None), "none is left; left out 1: 1 with a box"),
        (("a.jpg", "_", [1, 2, 3], "dog", None), "not of the form"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    images: Path, tmp_path: Path, entry: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save([entry], tmp_path / "unc_train.pth")
    assert convert(images, "transvg", tmp_path / "unc_train.pth") == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (tmp_path / "data" / "train.jsonl").exists()


def test_what_names_nothing_or_has_no_box_is_left_out_counted_and_named(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, empty = ("a.jpg", "_", [1, 2, 3, 4], "dog", None), [1, 2, 0, 4]
    entries = [good, *(("b.jpg", "_", empty, f"cup {number}", None) for number in range(4))]
    entries += [("a.jpg", "_", [1, 2, 3, 4], text, None) for text in ("", " ", "?!")]
    entries += [("a.jpg", "_", [-9, 2, 3, 4], "far dog", None)]
    torch.save(entries, tmp_path / "unc_train.pth")
    assert convert(images, "transvg", tmp_path / "unc_train.pth") == 0
    assert converted(images) == [("a.jpg", "dog", (1, 2, 4, 6))]
    said = capsys.readouterr()
    assert said.out.endswith("train.jsonl: 1 expressions\n")
    assert said.err.startswith("left out 8: 4 with a box without area (b.jpg 'cup 0'")
    assert "'cup 2'" in said.err and "'cup 3'" not in said.err and "...)" in said.err
    assert "3 without a word (a.jpg ''" in said.err
    assert "1 with a box outside the picture (a.jpg 'far dog'" in said.err


@pytest.mark.parametrize("protocol", [2, 4])
def test_numpy_boxes_and_numbers_are_data(images: Path, tmp_path: Path, protocol: int) -> None:
    box = np.array([10, 5, 20, 30])
    entries = [
        ("a.jpg", "_", box, "whole numbers", None),
        ("a.jpg", "_", box.astype(np.float32), "float32", None),
        ("b.jpg", "_", [np.float64(10), np.int64(5), 20, 30], "single numbers", None),
    ]
    torch.save(entries, tmp_path / "unc_train.pth")
    assert convert(images, "transvg", tmp_path / "unc_train.pth") == 0
    assert {box for _, _, box in converted(images)} == {(10, 5, 30, 35)}
    assert len(converted(images)) == 3
    refs = [
        {"split": "train", "image_id": np.int64(1), "ann_id": box[0], "sentences": [{"sent": "x"}]}
    ]
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=protocol))
    instances = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 10, "bbox": [1, 2, 3, 4]}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    assert convert(images, "refer", tmp_path / "refs(unc).p") == 0
    assert converted(images) == [("a.jpg", "x", (1, 2, 4, 6))]


def test_an_array_of_objects_runs_no_code(images: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    trap = np.array([Trap(ran), None], dtype=object)
    (tmp_path / "instances.json").write_text('{"images": [], "annotations": []}')
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([{"split": trap}]))
    assert convert(images, "refer", tmp_path / "refs(unc).p") == 2
    torch.save([trap], tmp_path / "unc_train.pth")
    assert convert(images, "transvg", tmp_path / "unc_train.pth") == 2
    assert not ran.exists()


ANNOTATION = """<annotation><filename>a.jpg</filename>
<object><name>11</name><bndbox><xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>35</ymax></bndbox>
</object>
<object><name>11</name><name>12</name>
<bndbox><xmin>40</xmin><ymin>10</ymin><xmax>60</xmax><ymax>20</ymax></bndbox></object>
<object><name>13</name><scene>1</scene><nobndbox>0</nobndbox></object>
</annotation>"""
SENTENCES = """[/EN#11/people Two men] carry [/EN#12/other a box] in [/EN#13/scene a street] .
[/EN#11/people Two men] with [/EN#12/other/clothing a load] near [/EN#0/notvisual it] .
"""


def test_flickr30k_entities_from_its_original_files(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "entities"
    for name in ("Annotations", "Sentences"):
        (folder / name).mkdir(parents=True)
    (folder / "Annotations" / "a.xml").write_text(ANNOTATION)
    (folder / "Sentences" / "a.txt").write_text(SENTENCES)
    for split, photos in (("train", "a\n"), ("val", "")):
        (folder / f"{split}.txt").write_text(photos)
    assert convert(images, "flickr", folder) == 0
    assert converted(images) == [
        ("a.jpg", "Two men", (10, 5, 60, 35)),
        ("a.jpg", "a box", (40, 10, 60, 20)),
        ("a.jpg", "a load", (40, 10, 60, 20)),
    ]
    (photo,) = read_own(images.parent / "data", "train")
    assert [e.kind for e in photo.expressions] == ["people", "other", "other"]
    assert convert(images, "flickr", folder, "--split", "tset") == 2
    assert "--split: expected one of train, val, got 'tset'" in capsys.readouterr().err
    (folder / "Annotations" / "a.xml").write_text("no xml")
    assert convert(images, "flickr", folder) == 2
    assert "expected annotations of Flickr30k Entities" in capsys.readouterr().err


def test_flickr30k_entities_from_mdetrs_files(images: Path, tmp_path: Path) -> None:
    caption = "Two men carry a box ."
    file = tmp_path / "final_flickr_separateGT_train.json"
    record = {
        "images": [{"id": 7, "file_name": "a.jpg", "caption": caption}],
        "annotations": [
            {"image_id": 7, "bbox": [10, 5, 20, 30], "tokens_positive": [[0, 7]]},
            {"image_id": 7, "bbox": [40, 10, 20, 10], "tokens_positive": [[0, 7]]},
            {"image_id": 7, "bbox": [40, 10, 20, 10], "tokens_positive": [[14, 19]]},
        ],
    }
    file.write_text(json.dumps(record))
    assert convert(images, "mdetr", file) == 0
    assert converted(images) == [
        ("a.jpg", "Two men", (10, 5, 60, 35)),
        ("a.jpg", "a box", (40, 10, 60, 20)),
    ]


def test_referring_expressions_say_so_and_captions_do_not(images: Path, tmp_path: Path) -> None:
    for name, kind in (("unc_train.pth", REFERRING), ("flickr_train.pth", "other")):
        torch.save([("a.jpg", "_", [1, 2, 9, 9], "dog", None)], tmp_path / name)
        assert convert(images, "transvg", tmp_path / name) == 0
        (photo,) = read_own(images.parent / "data", "train")
        assert [e.kind for e in photo.expressions] == [kind]
