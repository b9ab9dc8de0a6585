"""The yardsticks' questions: lists that stay as they are, of photos that nothing was trained on."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from sdk._internal.plurals import plural
from tests.tiny import tiny_data
from train.data.coco import COCO_CLASSES, class_named
from train.data.readers import DATA_ENVIRONMENT, YARDSTICK_SOURCE, read_detection
from train.data.samples import Box, DataError, Expression, Photo
from train.data.training import training_photos
from train.questions import (
    absent_questions,
    caption_questions,
    contrastive_questions,
    named_questions,
)
from train.yardsticks.baselines import detector_of
from train.yardsticks.lists import (
    QUESTIONS,
    Captions,
    everyday_questions,
    fingerprint,
    miscounted,
    relation_questions,
    swapped,
)

HASHES = json.loads((QUESTIONS / "sha256.json").read_text())
LEFT: Box = (0.0, 0.0, 0.5, 1.0)
DATA = os.environ.get(DATA_ENVIRONMENT)
needs_data = pytest.mark.skipif(not DATA, reason=f"{DATA_ENVIRONMENT} is not set: no photos here")


def test_the_lists_of_the_repository_are_as_they_were_frozen() -> None:
    lists = {path.name: sha256(path.read_bytes()).hexdigest() for path in QUESTIONS.glob("*.jsonl")}
    assert {name: HASHES[name] for name in lists} == lists
    assert len(lists) == 7


@needs_data
def test_the_lists_of_the_data_folder_are_as_they_were_frozen() -> None:
    for name in ("everyday.jsonl", "relations_val.jsonl"):
        content = (Path(DATA) / "yardsticks" / name).read_bytes()
        assert sha256(content).hexdigest() == HASHES[name]


@needs_data
def test_every_question_is_found_with_its_photo() -> None:
    root = Path(DATA)
    asked = {
        caption_questions: 2528,
        contrastive_questions: 900,
        absent_questions: 907,
        named_questions: 618,
        everyday_questions: 824,
        relation_questions: 1007,
    }
    for questions, count in asked.items():
        found = questions(root)
        assert sum(len(expressions) for _, expressions in found) == count
        assert all(photo.path.is_file() for photo, _ in found)


def training_paths(root: Path) -> list[Path]:
    return [photo.path for photo in training_photos(root, detection_photos=10**6)]


@needs_data
def test_no_yardstick_photo_is_trained_on_calibrated_on_or_chosen_by() -> None:
    root = Path(DATA)
    lists = [
        named_questions(root),
        absent_questions(root, yardstick_photos=False),
        contrastive_questions(root, yardstick_photos=False),
    ]
    paths = [photo.path for asked in lists for photo, _ in asked] + training_paths(root)
    assert not [path for path in paths if path.name.startswith(YARDSTICK_SOURCE)]


def test_yardstick_photos_are_in_no_split(tmp_path: Path) -> None:
    root = tiny_data(tmp_path)
    path = root / "detection" / "boxes.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    before = {split: len(read_detection(root, split)) for split in ("train", "val")}
    records[0]["source"] = records[-1]["source"] = YARDSTICK_SOURCE
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for split, count in before.items():
        photos = read_detection(root, split)
        assert len(photos) == count - 1
        assert not {p.path.name for p in photos} & {records[0]["image"], records[-1]["image"]}
    assert records[0]["image"] not in {path.name for path in training_paths(root)}


def test_a_caption_is_asked_of_its_own_photo_with_boxes_and_of_another_without(
    tmp_path: Path,
) -> None:
    root = tiny_data(tmp_path)
    line = (root / "flickr30k_entities" / "val.jsonl").read_text().splitlines()[0]
    record = json.loads(line)
    name, phrase = record["image"], record["phrases"][1]
    captions = Captions(root)
    own = captions.ask(Path(name), name, 1, fingerprint(phrase))
    assert own.text == phrase["phrase"] and own.boxes and own.kind == "other"
    other = captions.ask(Path("b.png"), name, 1, fingerprint(phrase))
    assert other == Expression(phrase["phrase"], (), "absent")
    for index in (0, 9):
        with pytest.raises(DataError, match=f"phrase {index} of {name}"):
            captions.ask(Path(name), name, index, fingerprint(phrase))


def test_a_swap_is_asked_without_a_box() -> None:
    phrase = Expression("a red hat", (LEFT,), "clothing")
    assert swapped(phrase, 2, 5, "pink") == Expression("a pink hat", (), "swap")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("the dog", "dog"),
        ("the hot dog on the left", "hot dog"),
        ("the bigger sofa", "couch"),
        ("the plane on the right", "airplane"),
        ("the potted plant", "potted plant"),
        ("the cell phone", "cell phone"),
    ],
)
def test_the_class_that_a_phrase_names(text: str, name: str) -> None:
    assert COCO_CLASSES[class_named(text)] == name


def test_a_phrase_without_a_class_and_a_detector_without_a_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the dogma"):
        class_named("the dogma")
    with pytest.raises(ValueError, match="does not exist"):
        detector_of(tmp_path / "picodet_s_320.onnx")
    (tmp_path / "picodet.onnx").touch()
    with pytest.raises(ValueError, match="320 or 416"):
        detector_of(tmp_path / "picodet.onnx")


@needs_data
def test_every_everyday_question_for_the_detector_names_a_class() -> None:
    asked = [e for _, found in everyday_questions(Path(DATA)) for e in found]
    assert len(asked) == 824
    for e in asked:
        name = COCO_CLASSES[class_named(e.text)]
        assert name in e.text or plural(name) in e.text


def test_a_miscounted_phrase_asks_for_one_more_than_there_is() -> None:
    box = (0.1, 0.1, 0.2, 0.2)
    photo = Photo(Path("photo.jpg"))
    one = Expression("one bus", (box,), "count", 1, "bus")
    two = Expression("the two people", (box, box), "count", 2, "person")
    ((same, asked),) = miscounted([(photo, [one, two])])
    assert same == photo
    assert [e.text for e in asked] == ["two buses", "three people"]
    assert [e.boxes for e in asked] == [one.boxes, two.boxes]
