"""Pseudo-labels: what a detector finds, and what of it training believes."""

import json
from pathlib import Path

import numpy as np
import torch

from tests.tiny import tiny_data
from tests.train.fusion.test_detections import lively, write_onnx
from train.data.coco import COCO_CLASSES
from train.data.pseudo_labels import (
    ABSENT,
    SURE,
    PseudoLabels,
    as_record,
    main,
)
from train.data.readers import read_expressions
from train.data.samples import Instance, Photo
from train.data.training import training_photos, with_pseudo_labels
from train.encoders.esnet import ESNet
from train.encoders.picodet import mean_of_mirrored
from train.fusion.detections import DetectionHead

LEFT, RIGHT = (0.1, 0.1, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)
DOG, CAT, CUP = (COCO_CLASSES.index(name) for name in ("dog", "cat", "cup"))


def write_labels(root: Path, boxes: list[object], highest: dict[int, float]) -> Path:
    path = root / "labels.jsonl"
    values = [highest.get(number, 0.0) for number in range(len(COCO_CLASSES))]
    record = {"image": "photos/a.jpg", "boxes": boxes, "highest": values}
    path.write_text(json.dumps(record) + "\n")
    return path


def test_sure_boxes_are_labels_and_doubtful_classes_are_neither(tmp_path: Path) -> None:
    boxes = [[DOG, SURE, LEFT], [CAT, SURE + 0.1, LEFT], [CAT, SURE - 0.1, RIGHT]]
    path = write_labels(tmp_path, boxes, {DOG: SURE, CAT: SURE, CUP: ABSENT})
    labels = PseudoLabels(tmp_path, path)
    instances, decided = labels.of(tmp_path / "photos/a.jpg")
    assert instances == (Instance("dog", LEFT),)
    assert "dog" in decided and "cat" not in decided and "cup" not in decided
    assert "giraffe" in decided  # nowhere above ABSENT
    assert labels.of(tmp_path / "photos/b.jpg") == ((), frozenset())


def test_people_who_labelled_a_class_are_believed_first(tmp_path: Path) -> None:
    path = write_labels(tmp_path, [[DOG, 0.9, LEFT], [CAT, 0.9, RIGHT]], {DOG: 0.9, CAT: 0.9})
    photo = Photo(tmp_path / "photos/a.jpg", (), (), frozenset({"dog"}))
    labelled = with_pseudo_labels(photo, PseudoLabels(tmp_path, path))
    assert [i.label for i in labelled.instances] == ["cat"]  # a person says: no dog
    assert {"dog", "cat", "giraffe"} <= labelled.known_labels


def test_overlapping_boxes_of_a_class_are_one() -> None:
    boxes = np.array([LEFT, LEFT, RIGHT], np.float32)
    probabilities = np.zeros((len(COCO_CLASSES), 3), np.float32)
    probabilities[DOG] = 0.6, 0.7, 0.3
    record = as_record(boxes, probabilities)
    assert [[n, round(p, 2)] for n, p, _ in record["boxes"]] == [[DOG, 0.7], [DOG, 0.3]]
    assert np.argmax(record["highest"]) == DOG


def test_an_image_and_its_mirror_image_give_what_the_image_gives() -> None:
    likely, sides = torch.rand(1, 3, 4, 4), torch.rand(1, 4, 4, 4)
    mirrored = sides[:, [2, 1, 0, 3]].flip(3)
    both = mean_of_mirrored(torch.cat([likely, likely.flip(3)]), torch.cat([sides, mirrored]))
    torch.testing.assert_close(both, (likely, sides))


def test_the_command_labels_every_photo_and_training_reads_it(tmp_path: Path) -> None:
    root = tiny_data(tmp_path)
    encoder, head = lively(ESNet()), lively(DetectionHead())
    assert isinstance(encoder, ESNet) and isinstance(head, DetectionHead)
    detector = write_onnx(tmp_path / "picodet.onnx", encoder, head)
    out = tmp_path / "labels.jsonl"
    arguments = [str(detector), "--size", "64", "--data", str(root), "--out", str(out)]
    assert main(arguments) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    named = {line["image"] for line in lines}
    photos = read_expressions(root, "train")
    assert {p.path.relative_to(root).as_posix() for p in photos} <= named
    assert all(len(line["highest"]) == len(COCO_CLASSES) for line in lines)
    assert len(training_photos(root, pseudo_labels=str(out))) == len(photos)
    assert main([str(tmp_path / "none.onnx"), "--data", str(root), "--out", str(out)]) == 2
