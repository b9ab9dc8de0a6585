"""The yardsticks' command, on tiny data."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdk.bundle.manifest import Manifest
from tests.tiny import tiny_checkpoint, tiny_data, tiny_text_encoder
from train.data.samples import Box, Expression, Photo
from train.evaluator import Answer
from train.yardsticks.__main__ import main
from train.yardsticks.answers import Answers

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
LEFT: Box = (0.0, 0.0, 0.5, 1.0)
RIGHT: Box = (0.5, 0.0, 1.0, 1.0)


def test_every_photo_is_asked_once() -> None:
    asked: list[tuple[str, list[str]]] = []

    def predict(photo: Photo, texts: Sequence[str]) -> list[Answer]:
        asked.append((photo.path.name, list(texts)))
        return [Answer(WHOLE, len(text) / 10) for text in texts]

    photo, other = Photo(Path("a.jpg")), Photo(Path("b.jpg"))
    dog, cat = Expression("dog", (WHOLE,)), Expression("a cat", ())
    lists = {"one": [(photo, [dog, dog]), (other, [cat])], "two": [(photo, [cat, dog])]}
    answers = Answers(predict, lists, "made up")
    assert asked == [("a.jpg", ["dog", "a cat"]), ("b.jpg", ["a cat"])]
    assert answers(photo, ["a cat", "dog"]) == [Answer(WHOLE, 0.5), Answer(WHOLE, 0.3)]


def yardstick_files(root: Path) -> None:
    """An everyday and a relations list about the tiny photos."""
    folder = root / "yardsticks"
    folder.mkdir()
    image = next((root / "detection" / "images").iterdir()).name
    everyday = [
        {"image": image, "kind": kind, "phrase": f"the {kind} car", "boxes": boxes}
        for kind, boxes in (("unique", [LEFT]), ("many", [LEFT, RIGHT]), ("absent", []))
    ]
    relation = {"image": "val0.png", "phrase": "a car on a bush", "box": LEFT, "other_noun": RIGHT}
    for name, records in (
        ("everyday.jsonl", everyday),
        ("relations_val.jsonl", [relation | {"apart": True}]),
    ):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))


def test_the_command_asks_a_bundle_against_a_checkpoint(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tiny_data(tmp_path, own=True), tmp_path / "yardsticks.json"
    yardstick_files(root)
    flags = {
        "--against": tiny_checkpoint(tmp_path),
        "--vocab": tiny_text_encoder(tmp_path) / "vocab.txt",
        "--data": root,
        "--json": out,
        "--sheets": tmp_path / "sheets",
        "--threads": 1,
    }
    assert main([str(tiny_bundle), *(str(part) for pair in flags.items() for part in pair)]) == 0
    record = json.loads(out.read_text())
    assert record["model"] == Manifest.load(tiny_bundle).name
    assert record["against"] == "checkpoint" and "commit" in record["machine"]
    assert list(record["sections"]) == [
        "everyday",
        "relations",
        "captions",
        "contrastive",
        "absent",
        "instances",
    ]
    single = record["sections"]["captions"]["single_box"]
    assert single["count"] == 12 and 0 <= single["low"] <= single["value"] <= single["high"]
    assert single["against"].keys() == {"value", "low", "high", "difference"}
    assert 0 <= single["baselines"]["whole image"]["value"] <= 100
    assert "baselines" not in record["sections"]["captions"]["calibration_error"]
    assert "against" not in record["sections"]["absent"]["absent_rejected"]  # no threshold there
    printed = capsys.readouterr().out
    assert "phrases with one box, Acc@0.5" in printed and "whole image" in printed
    assert (tmp_path / "sheets" / "absent-00.jpg").is_file()  # no box for what is absent is right


def test_what_is_no_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_data(tmp_path, own=True)
    assert main([str(tmp_path / "none"), "--data", str(root)]) == 2
    assert main([str(tmp_path / "none.safetensors"), "--data", str(root)]) == 2
    assert capsys.readouterr().err.count("error: ") == 2
