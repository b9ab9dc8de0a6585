"""The rule that the detector's boxes are sorted by."""

import numpy as np
import pytest

from benchmarks.detector_baseline import by_rule

LEFT, MIDDLE, RIGHT = (0.0, 0.5, 0.2, 0.9), (0.4, 0.1, 0.5, 0.2), (0.6, 0.3, 1.0, 0.8)
BOXES = np.array([MIDDLE, RIGHT, LEFT])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("the dog on the left", LEFT),
        ("the rightmost potted plant", RIGHT),
        ("the second dog from the left", MIDDLE),
        ("the first dog from the right", RIGHT),
        ("the fourth dog from the left", RIGHT),  # of three: the last
        ("the dog in the middle", MIDDLE),
        ("the largest dog", RIGHT),
        ("the smaller dog", MIDDLE),
        ("the dog at the top", MIDDLE),
        ("the bottom dog", LEFT),
        ("a black dog", MIDDLE),  # the most probable
    ],
)
def test_a_rule_reads_the_generated_expressions(text: str, meant: tuple[float, ...]) -> None:
    assert tuple(BOXES[by_rule(text, BOXES)]) == meant
