"""Results in the forms of other tools, read back by those tools or as their formats say."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from sdk import Grounder, Grounding, GroundingError
from sdk.outputs.interop import to_coco, to_json_line, to_supervision
from sdk.results import Place
from tests.paths import ROOT
from tests.waiting import run_process

RESULTS = [
    Grounding("a cow", (0, 0, 9, 9), 0.1, False),
    Grounding(
        "the dogs",
        (10, 20, 30, 50),
        0.9,
        True,
        (Place((10, 20, 30, 50), 0.9), Place((60, 20, 90, 50), 0.5)),
        (Place((1, 2, 3, 4), 0.05),),
    ),
]


def test_supervision_gets_what_was_found() -> None:
    pytest.importorskip("supervision", reason="an optional package")
    detections = to_supervision(RESULTS)
    assert_array_equal(detections.xyxy, [[10, 20, 30, 50], [60, 20, 90, 50]])
    assert_allclose(detections.confidence, [0.9, 0.5])
    assert detections.class_id.tolist() == [1, 1]
    assert detections.data["class_name"].tolist() == ["the dogs", "the dogs"]
    everything = to_supervision(RESULTS, found_only=False)
    assert everything.class_id.tolist() == [0, 1, 1, 1]
    assert_array_equal(everything.area, [81, 600, 900, 4])
    assert detections.tracker_id is None


def test_supervision_gets_the_track_ids_of_a_stream() -> None:
    pytest.importorskip("supervision", reason="an optional package")
    dogs = tuple(replace(p, track_id=n) for n, p in enumerate(RESULTS[1].instances, start=4))
    followed = to_supervision(replace(RESULTS[1], instances=dogs))
    assert followed.tracker_id.tolist() == [4, 5]


def test_supervision_gets_one_result_or_none() -> None:
    supervision = pytest.importorskip("supervision", reason="an optional package")
    alone = to_supervision(RESULTS[1])
    assert alone.class_id.tolist() == [0, 0]
    nothing = to_supervision(RESULTS[0])
    assert len(nothing) == 0 and nothing.is_empty()
    merged = supervision.Detections.merge([nothing, alone])
    assert merged.data["class_name"].tolist() == ["the dogs", "the dogs"]


def test_supervision_draws_them(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    supervision = pytest.importorskip("supervision", reason="an optional package")
    detections = to_supervision(grounder.ground(frame, ["cat", "dog"]), found_only=False)
    drawn = supervision.BoxAnnotator().annotate(frame.copy(), detections)
    assert (drawn != frame).any()


def test_a_missing_supervision_names_the_line_to_install_it() -> None:
    code = """
import sys
sys.modules["supervision"] = None
from sdk.outputs.interop import to_supervision
to_supervision([])
"""
    root = ROOT
    done = run_process([sys.executable, "-c", code], cwd=root)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sdk.errors.DependencyError") and "pip install supervision" in last


def test_coco() -> None:
    rows = to_coco(RESULTS, image_id=7)
    assert rows[0] == {"image_id": 7, "category_id": 0, "bbox": [0, 0, 9, 9], "score": 0.1}
    assert [row["bbox"] for row in rows[1:]] == [[10, 20, 20, 30], [60, 20, 30, 30], [1, 2, 2, 2]]
    found = to_coco(RESULTS, image_id=7, category_ids=[21, 18], found_only=True)
    assert [(row["category_id"], row["score"]) for row in found] == [(18, 0.9), (18, 0.5)]
    assert to_coco(RESULTS[1], image_id=1, category_ids=[18])[0]["category_id"] == 18
    with pytest.raises(GroundingError, match="expected 2 category_ids"):
        to_coco(RESULTS, image_id=7, category_ids=[1])


def test_json_lines() -> None:
    text = to_json_line(RESULTS, frame=12, note="un\nchien")
    assert "\n" not in text
    assert json.loads(text) == {
        "frame": 12,
        "note": "un\nchien",
        "results": [result.to_dict() for result in RESULTS],
    }
    assert json.loads(to_json_line(RESULTS[0])) == {"results": [RESULTS[0].to_dict()]}
    for value in (np.zeros(2), np.float32(1), float("nan")):
        with pytest.raises(GroundingError, match=r"JSON's types, got \['seconds'\]"):
            to_json_line(RESULTS, seconds=value)


def test_everything_of_a_real_result_is_plain(grounder: Grounder, frame: NDArray[np.uint8]) -> None:
    results = grounder.ground(frame, ["cat", "dog"], alternatives=2)
    rows = to_coco(results, image_id=1)
    assert len(rows) == 6 and json.loads(json.dumps(rows)) == rows
    assert len(json.loads(to_json_line(results))["results"][1]["alternatives"]) == 2
