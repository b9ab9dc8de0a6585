"""Dataset readers: what they give, and that a bad line is named."""

import json
from pathlib import Path

import cv2
import numpy as np
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


def phrase(text: str, *boxes: list[float], kind: str = "animals") -> dict[str, object]:
    return {"phrase": text, "types": [kind], "entity": "1", "boxes": list(boxes)}


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


def test_people_of_the_captions_are_instances_without_a_colour(tmp_path: Path) -> None:
    man, girl = (0.1, 0.2, 0.4, 0.9), (0.6, 0.2, 0.9, 0.9)
    flickr(
        tmp_path,
        phrase("a man", list(man), kind="people"),
        phrase("a girl", list(girl), kind="people"),
        phrase("a dog", BOX),
    )
    (photo,) = read_flickr30k(tmp_path, "train")
    assert {(i.label, i.box) for i in photo.instances} == {
        ("person", man),
        ("person", girl),
        ("man", man),
        ("girl", girl),
    }
    assert all(i.colour is None for i in photo.instances)
    assert photo.known_labels == frozenset()  # captions do not name all there is


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


def detection(root: Path, *records: dict[str, object], image: np.ndarray | None = None) -> None:
    """A detection folder; each record's photo shows `image`, grey if there is none."""
    folder = root / "detection"
    write_lines(folder / "boxes.jsonl", *records)
    (folder / "images").mkdir()
    for record in records:
        pixels = np.full((10, 20, 3), 128, np.uint8) if image is None else image
        cv2.imwrite(str(folder / "images" / str(record["image"])), pixels)


def labelled(image: str, source: str = "farm", **boxes: list[float]) -> dict[str, object]:
    objects = [{"label": label, "box": box} for label, box in boxes.items()]
    return {"image": image, "source": source, "objects": objects}


def training_name() -> str:
    """A file name that is not held back."""
    return next(name for i in range(9) if not is_held_back(name := f"{i}.png"))


def test_detection_photos_are_split_by_photo_and_know_their_source_classes(tmp_path: Path) -> None:
    names = [f"{i:03}.png" for i in range(200)]
    records = [
        labelled(name, "farm", cow=BOX) if i % 2 else labelled(name, "city", car=BOX)
        for i, name in enumerate(names)
    ]
    detection(tmp_path, *records)
    train, held_back = read_detection(tmp_path, "train"), read_detection(tmp_path, "val")
    seen, unseen = ({p.path.name for p in split} for split in (train, held_back))
    assert seen | unseen == set(names) and not seen & unseen
    assert unseen == {n for n in names if is_held_back(n)} and 5 <= len(unseen) <= 35
    for photo in train + held_back:
        assert photo.known_labels == {photo.instances[0].label}  # not the other source's


def test_a_detection_instance_has_the_colour_of_its_pixels(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :20] = (30, 20, 220)  # BGR
    image[:, 40:] = (200, 60, 30)
    cattle = {"bull": [0.0, 0.1, 0.3, 0.9], "cow": [0.7, 0.1, 1.0, 0.9]}
    cattle["herd"] = [0.0, 0.0, 1.0, 1.0]  # in the middle, black and a little of both
    detection(tmp_path, labelled(training_name(), **cattle), image=image)
    (photo,) = read_detection(tmp_path, "train")
    assert [i.label for i in photo.instances] == list(cattle)
    assert [i.box for i in photo.instances] == [tuple(box) for box in cattle.values()]
    assert [i.colour for i in photo.instances] == ["red", "blue", "black"]
    assert photo.expressions == ()


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_photo_that_is_not_there_or_no_picture_is_named(
    tmp_path: Path, content: bytes | None
) -> None:
    name = training_name()
    detection(tmp_path, labelled(name, cow=BOX))
    path = tmp_path / "detection" / "images" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"boxes\.jsonl: .*{name}"):
        read_detection(tmp_path, "train")


def test_a_detection_record_without_a_key_or_with_a_bad_box_is_named(tmp_path: Path) -> None:
    name = training_name()
    detection(tmp_path, labelled(name, cow=[0.5, 0.2, 0.1, 0.6]))
    with pytest.raises(DataError, match=r"boxes\.jsonl:1: expected x1 < x2"):
        read_detection(tmp_path, "train")
    write_lines(tmp_path / "detection" / "boxes.jsonl", {"image": name, "source": "farm"})
    with pytest.raises(DataError, match="lacks the key 'objects'"):
        read_detection(tmp_path, "train")


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
