"""Dataset readers: what they give, and that a bad line is named."""

import json
from pathlib import Path

import pytest

from train.data.readers import (
    DATA_ENVIRONMENT,
    data_root,
    is_held_back,
    read_detection,
    read_flickr30k,
)
from train.data.samples import DataError

BOX = [0.1, 0.2, 0.5, 0.6]


def write_lines(path: Path, *records: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


def phrase(text: str, *boxes: list[float]) -> dict[str, object]:
    return {"phrase": text, "types": ["animals"], "entity": "1", "boxes": list(boxes)}


def flickr(root: Path, *phrases: dict[str, object]) -> None:
    record = {"image": "a.jpg", "width": 4, "height": 3, "phrases": list(phrases)}
    write_lines(root / "flickr30k_entities" / "train.jsonl", record)


def test_caption_phrases_keep_boxes_and_kind(tmp_path: Path) -> None:
    flickr(tmp_path, phrase("two dogs", BOX, [0.5, 0.5, 1.0, 1.2]), phrase("no box"))
    (photo,) = read_flickr30k(tmp_path, "train")
    assert photo.path == tmp_path / "flickr30k_entities" / "images" / "a.jpg"
    (expression,) = photo.expressions  # a phrase without a box cannot be grounded
    assert expression.text == "two dogs" and expression.kind == "animals" and not expression.single
    assert expression.boxes == (tuple(BOX), (0.5, 0.5, 1.0, 1.0))  # clipped to the photo


@pytest.mark.parametrize("box", [[0.5, 0.2, 0.1, 0.6], [0.1, 0.2, 0.3], "box", [None] * 4])
def test_a_bad_box_names_its_line(tmp_path: Path, box: object) -> None:
    flickr(tmp_path, phrase("a dog", box))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"train\.jsonl:1: expected"):
        read_flickr30k(tmp_path, "train")


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    flickr(tmp_path, phrase("a dog", BOX))
    with (tmp_path / "flickr30k_entities" / "train.jsonl").open("a") as file:
        file.write("{oops\n")
    with pytest.raises(DataError, match=r"train\.jsonl:2: not JSON"):
        read_flickr30k(tmp_path, "train")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "flickr30k_entities" / "val.jsonl", {"image": "a.jpg"})
    with pytest.raises(DataError, match="expected the key 'phrases'"):
        read_flickr30k(tmp_path, "val")


def test_detection_photos_are_split_by_photo_and_know_their_source_classes(tmp_path: Path) -> None:
    names = [f"{i:03}.jpg" for i in range(200)]
    records = [
        {
            "image": name,
            "source": "farm" if i % 2 else "city",
            "objects": [{"label": "cow" if i % 2 else "car", "box": BOX}],
        }
        for i, name in enumerate(names)
    ]
    write_lines(tmp_path / "detection" / "boxes.jsonl", *records)
    train, held_back = read_detection(tmp_path, "train"), read_detection(tmp_path, "val")
    seen, unseen = ({p.path.name for p in split} for split in (train, held_back))
    assert seen | unseen == set(names) and not seen & unseen
    assert unseen == {n for n in names if is_held_back(n)} and 5 <= len(unseen) <= 35
    for photo in train + held_back:
        assert photo.known_labels == {photo.instances[0].label}  # not the other source's


def test_the_data_folder_comes_from_the_flag_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DATA_ENVIRONMENT, raising=False)
    with pytest.raises(DataError, match=DATA_ENVIRONMENT):
        data_root(None)
    with pytest.raises(DataError, match="does not exist"):
        data_root(tmp_path / "nowhere")
    monkeypatch.setenv(DATA_ENVIRONMENT, str(tmp_path))
    assert data_root(None) == tmp_path
    with pytest.raises(DataError, match="--data"):
        read_flickr30k(tmp_path, "train")
