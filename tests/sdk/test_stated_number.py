"""Phrases that say how many things they mean."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk import Grounder
from sdk.frame_view import STATED_SHARE
from sdk.inputs.phrases import stated_number
from tests.paths import ROOT

CAT = ROOT / "apps" / "assets" / "cat.jpg"


@pytest.mark.parametrize(
    ("phrase", "number"),
    [
        ("two dogs", 2),
        ("The Two dogs", 2),
        ("all the three men", 3),
        ("both cups", 2),
        ("one dog", 1),
        ("10 chairs", 10),
        (" 4 bikes", 4),
        ("dogs", None),
        ("the second dog", None),
        ("a two-story house", None),
        ("two", None),
        ("the dog on two legs", None),
        ("11 chairs", None),
        ("everyone here", None),
        ("two\tdogs", 2),
        ("two\u00a0dogs", 2),
        ("\u017fi\u0307x dogs", None),  # of signs whose small letters are those of "six"
        ("\u00b2 dogs", None),
        ("two year old boy", None),
        ("the 4 wheel drive", None),
        ("one man and two dogs", None),
    ],
)
def test_a_number_in_front_is_one_of_things(phrase: str, number: int | None) -> None:
    assert stated_number(phrase) == number


@given(st.text())
def test_any_text_has_a_number_from_one_to_ten_or_none(phrase: str) -> None:
    assert stated_number(phrase) in {None, *range(1, 11)}


def test_a_number_bounds_the_instances_and_lowers_their_threshold() -> None:
    frame = np.hstack([cv2.imread(str(CAT))] * 3)
    with Grounder.load() as grounder, grounder.encode(frame) as view:
        asked = ["all cats", "one cat", "two cats", "three cats", "ten cats"]
        every, one, two, three, ten = (result.instances for result in view.ground(asked))
        least = grounder.manifest.instance_threshold
    assert [len(every), len(one), len(two), len(three)] == [3, 1, 2, 3]
    assert all(place.score >= least for place in every[1:])
    assert all(place.score >= STATED_SHARE * least - 1e-6 for place in ten[1:])
