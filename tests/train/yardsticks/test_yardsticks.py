"""Yardsticks: lists that stay as they are, figures worked out by hand, the command on tiny data."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from sdk.bundle.manifest import Manifest
from tests.tiny import tiny_checkpoint, tiny_data, tiny_text_encoder
from train.data.coco import COCO_CLASSES, class_named
from train.data.nouns import plural
from train.data.readers import DATA_ENVIRONMENT, YARDSTICK_SOURCE, read_detection
from train.data.samples import Box, DataError, Expression, Photo
from train.data.training import training_photos
from train.evaluator import Answer, Outcome
from train.questions import (
    absent_questions,
    caption_questions,
    contrastive_questions,
    named_questions,
)
from train.yardsticks.__main__ import main
from train.yardsticks.answers import Answers, as_rows, to_nearest
from train.yardsticks.baselines import Detector
from train.yardsticks.figure import (
    absent_rejected,
    absent_rejected_at_cost,
    right_rejected,
    separation,
)
from train.yardsticks.intervals import Rows, bootstrap, paired_bootstrap, wilson
from train.yardsticks.lists import (
    APART,
    NEAR,
    QUESTIONS,
    Captions,
    everyday_questions,
    fingerprint,
    relation_questions,
    swapped,
)
from train.yardsticks.sections import figures

HASHES = json.loads((QUESTIONS / "sha256.json").read_text())
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
LEFT: Box = (0.0, 0.0, 0.5, 1.0)
RIGHT: Box = (0.5, 0.0, 1.0, 1.0)
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


def test_wilson_intervals_are_those_worked_out_by_hand() -> None:
    # By hand with z^2 = 3.841459; none of n ends at z^2 / (n + z^2).
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0, 0.2775328), abs=1e-6)
    assert wilson(10, 10) == pytest.approx((0.7224672, 1), abs=1e-6)
    assert all(math.isnan(end) for end in wilson(0, 0))


def rows(photos: list[int], present: list[int], right: list[int], scores: list[float]) -> Rows:
    return Rows(np.array(photos), np.array(present, bool), np.array(right, bool), np.array(scores))


def share_right(found: Rows) -> float:
    return 100 * float(found.right.mean())


def test_questions_about_one_photo_are_resampled_together() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(100) < 0.5, 4)
    alone = rows(list(range(400)), [1] * 400, right, [0.5] * 400)
    together = rows([i // 4 for i in range(400)], [1] * 400, right, [0.5] * 400)
    (low, high), (low_together, high_together) = (
        bootstrap(share_right, found) for found in (alone, together)
    )
    assert np.subtract((low, high), share_right(alone)) == pytest.approx((-5, 5), abs=1)
    assert high_together - low_together == pytest.approx(2 * (high - low), rel=0.15)


def test_a_paired_difference_is_surer_than_two_figures() -> None:
    rng = np.random.default_rng(0)
    photos, right = list(range(300)), rng.random(300) < 0.5
    better = right.copy()
    better[np.flatnonzero(~right)[:9]] = True
    one, other = (rows(photos, [1] * 300, r, [0.5] * 300) for r in (better, right))
    low, high = paired_bootstrap(share_right, one, share_right, other)
    assert 0 < low < 3 < high < 6
    assert paired_bootstrap(share_right, one, share_right, one) == (0, 0)
    with pytest.raises(ValueError, match="same questions"):
        paired_bootstrap(share_right, one, share_right, one.take(np.arange(5)))


def test_what_is_rejected_and_what_that_costs() -> None:
    scores = [*np.linspace(0.1, 1.0, 10), 0.05, 0.15, 0.3]
    found = rows(list(range(13)), [1] * 10 + [0] * 3, [1] * 10 + [0] * 3, scores)
    assert absent_rejected(found, 0.2).tolist() == [True, True, False]
    assert right_rejected(found, 0.35).sum() == 3
    # One in ten right boxes is given up: what is below the second lowest, 0.2.
    assert absent_rejected_at_cost(found) == pytest.approx(200 / 3)
    assert separation(found) == pytest.approx(100 * (30 - 1 - 2) / 30)
    assert math.isnan(absent_rejected_at_cost(found.take(~found.right)))


def outcome(box: Box, *boxes: Box, kind: str = "other", score: float = 0.5) -> Outcome:
    """An answer on a photo of the half that nothing is fitted on."""
    expression = Expression("the dogs", boxes, kind)
    plain = Outcome(expression, Photo(Path("d.jpg"), (expression,)), box, 0.0, score)
    return to_nearest(plain)


def test_of_several_boxes_the_nearest_counts() -> None:
    assert outcome(LEFT, LEFT, RIGHT).right
    assert outcome(WHOLE, LEFT, RIGHT).iou == pytest.approx(0.5)
    assert not outcome((0.4, 0.0, 0.6, 1.0), LEFT, RIGHT).right
    assert not outcome(LEFT).right


def test_a_relation_may_be_answered_with_the_other_noun() -> None:
    other: Box = (0.8, 0.0, 1.0, 0.2)
    boxes = (LEFT, other, WHOLE)  # the head noun's, the other noun's, neither
    outcomes = {
        "relations": [outcome(box, LEFT, kind=APART) for box in boxes]
        + [outcome(other, LEFT, kind=NEAR)],
        "other_noun": [outcome(box, other, kind=APART) for box in boxes]
        + [outcome(other, other, kind=NEAR)],
    }
    found = figures(outcomes, None)["relations"]
    assert {name: (round(f.value), f.count) for name, f in found.items()} == {
        "right": (50, 4),
        "apart": (67, 3),
        "other_noun": (33, 3),
    }


def several(found: list[Box], *true: Box, kind: str = "many") -> Outcome:
    """An answer with several boxes."""
    instances = tuple((box, 0.9) for box in found)
    return replace(outcome(found[0], *true, kind=kind), instances=instances)


def test_all_that_a_phrase_names_is_measured_by_f1_and_by_number() -> None:
    outcomes = {
        "everyday": [several([LEFT, RIGHT], LEFT, RIGHT), several([LEFT], LEFT, RIGHT)],
        "captions": [several([LEFT, WHOLE], LEFT, RIGHT), several([LEFT], LEFT)],
        "counts": [several([LEFT], LEFT), several([LEFT], LEFT, RIGHT), several([RIGHT], LEFT)],
    }
    found = figures(outcomes, None)["instances"]
    assert {name: (round(f.value), f.count) for name, f in found.items()} == {
        "everyday": (83, 2),
        "everyday_alone": (67, 2),
        "captions": (100, 1),
        "captions_alone": (67, 1),
        "counts": (67, 3),
    }
    alone = {"everyday": [outcome(LEFT, LEFT, RIGHT, kind="many")]}
    assert "instances" not in figures(alone, None), "one box alone was answered"


def test_swaps_are_rejected_at_the_cost_of_the_phrases_they_were_made_from() -> None:
    found = [outcome(LEFT, LEFT, score=0.1 * n) for n in range(1, 11)]
    found += [outcome(LEFT, kind="swap", score=score) for score in (0.05, 0.15, 0.95)]
    figure = figures({"swaps": found}, None)["swaps"]
    assert figure["rejected_at_cost"].value == pytest.approx(200 / 3)


def test_a_swap_is_asked_without_a_box() -> None:
    phrase = Expression("a red hat", (LEFT,), "clothing")
    assert swapped(phrase, 2, 5, "pink") == Expression("a pink hat", (), "swap")


def test_without_a_threshold_its_figures_are_left_out() -> None:
    outcomes = {
        "everyday": [
            outcome(LEFT, LEFT, kind="unique", score=0.8),
            outcome(LEFT, kind="absent", score=0.4),
        ]
    }
    chosen, free = (figures(outcomes, threshold)["everyday"] for threshold in (0.5, None))
    assert chosen.keys() - free.keys() == {"absent_rejected", "right_rejected"}
    assert chosen["absent_rejected"].value == 100 and chosen["right_rejected"].value == 0
    assert free["auroc"].value == 100 and free["auroc"].count == 2


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
        Detector(tmp_path / "picodet_s_320.onnx")
    (tmp_path / "picodet.onnx").touch()
    with pytest.raises(ValueError, match="320 or 416"):
        Detector(tmp_path / "picodet.onnx")


@needs_data
def test_every_everyday_question_for_the_detector_names_a_class() -> None:
    asked = [e for _, found in everyday_questions(Path(DATA)) for e in found]
    assert len(asked) == 824
    for e in asked:
        name = COCO_CLASSES[class_named(e.text)]
        assert name in e.text or plural(name) in e.text


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


def test_rows_number_photos_in_their_order() -> None:
    found = as_rows([outcome(LEFT, LEFT), outcome(LEFT)])
    assert found.photos.tolist() == [0, 0]
    assert found.present.tolist() == [True, False] and found.right.tolist() == [True, False]
