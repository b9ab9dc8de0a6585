"""Export and its gates: graphs against the model, and which reduced forms are kept."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.gate import GraphFigures, best_that_holds, holds, may_pay
from export.measure import Answered, Recorder, points_lost
from export.parity import TOLERANCE, ParityError, by_colour, check_parity, deviation
from sdk.backends.select import open_session
from sdk.backends.timing import LEAST_GAIN, sure_gain
from sdk.bundle.contract import (
    ATTENTION_MASK,
    BOXES,
    FUSION,
    LOGITS,
    TEXT,
    TEXT_TOKENS,
    VISION,
    VISUAL_TOKENS,
)
from tests.paths import ROOT
from tests.tiny import IMAGE_SIZE, tiny_checkpoint, tiny_model
from tests.tiny_graphs import TinyGraphs, broken, tiny_graphs
from train.checkpoint import CheckpointError
from train.data.samples import Expression, Photo, spread
from train.evaluator import Outcome
from train.inference import load_model

SIZE_WH = (IMAGE_SIZE, IMAGE_SIZE)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> TinyGraphs:
    return tiny_graphs(tmp_path_factory)


def test_graphs_follow_the_contract_and_equal_the_model(exported: TinyGraphs) -> None:
    largest = check_parity(exported.files, exported.cases, SIZE_WH)
    assert largest.keys() == TOLERANCE.keys()
    shapes = {case.inputs[TEXT_TOKENS].shape[:2] for case in exported.cases_of(FUSION.name)}
    assert shapes == {(1, 3), (1, 32), (3, 32)}  # one phrase, a long one, several padded


def test_the_model_in_the_cases_answers_to_image_and_phrase(exported: TinyGraphs) -> None:
    logits = [case.expected[LOGITS][0] for case in exported.cases_of(FUSION.name)]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(logits))


def test_padding_does_not_change_a_phrase(exported: TinyGraphs) -> None:
    session = open_session(exported.files[FUSION.name], "cpu")
    case = exported.cases_of(FUSION.name)[0]
    words, mask = case.inputs[TEXT_TOKENS], case.inputs[ATTENTION_MASK]
    noise = np.full((1, 5, words.shape[2]), 7, np.float32)
    padded = case.inputs | {
        TEXT_TOKENS: np.concatenate([words, noise], axis=1),
        ATTENTION_MASK: np.concatenate([mask, np.zeros((1, 5), np.int64)], axis=1),
    }
    alone, beside = session.run(case.inputs), session.run(padded)
    for name in (BOXES, LOGITS):
        np.testing.assert_allclose(beside[name], alone[name], atol=1e-5)


def test_a_file_is_complete_and_tells_nothing_of_where_it_was_made(exported: TinyGraphs) -> None:
    for path in exported.files.values():
        data = path.read_bytes()
        assert str(ROOT).encode() not in data
        assert b"site-packages" not in data
        assert not list(path.parent.glob(f"{path.name}*.data"))


def test_every_broken_graph_is_reported_at_once(exported: TinyGraphs, tmp_path: Path) -> None:
    files = exported.files | {
        name: broken(exported.files[name], tmp_path) for name in (VISION.name, FUSION.name)
    }
    with pytest.raises(ParityError) as caught:
        check_parity(files, exported.cases, SIZE_WH)
    message = str(caught.value)
    assert "graph vision" in message and "graph fusion" in message and "graph text" not in message


def test_a_graph_of_another_size_is_not_the_contracts(exported: TinyGraphs) -> None:
    with pytest.raises(ParityError, match="'image'"):
        check_parity(exported.files, exported.cases, (IMAGE_SIZE, 2 * IMAGE_SIZE))


def test_a_frozen_encoder_comes_from_its_file_and_a_trained_one_from_the_checkpoint(
    tmp_path: Path,
) -> None:
    image = torch.randn(1, 3, *SIZE_WH)
    for unfreeze in (False, True):
        folder = tmp_path / str(unfreeze)
        folder.mkdir()
        expected = tiny_model(folder, unfreeze_vision=unfreeze).eval()
        checkpoint = tiny_checkpoint(folder, unfreeze_vision=unfreeze)
        if unfreeze:
            (folder / "vision.safetensors").unlink()
        model, config = load_model(checkpoint)
        assert config.unfreeze_vision is unfreeze and not model.training
        with torch.no_grad():
            assert torch.equal(model.encode_vision(image), expected.encode_vision(image))
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "none.safetensors")


def figures(
    kind: str, ms: float | None, lost: float | None = None, gain: float | None = 0.3
) -> GraphFigures:
    return GraphFigures("fusion", kind, Path("x"), 0.0, ms, gain, lost, box_iou=0.99)


def test_a_reduced_form_is_kept_only_if_faster_and_as_accurate() -> None:
    good, better = figures("static", 8.0, lost=0.4), figures("mixed", 7.0, lost=-0.1)
    assert best_that_holds([good, better]) == better
    as_fast = figures("blockwise", 7.2, lost=-0.3)
    assert best_that_holds([good, better, as_fast]) == as_fast
    inaccurate = figures("mixed", 5.0, lost=0.6)
    assert best_that_holds([good, inaccurate]) == good
    assert inaccurate.verdict == "less accurate"
    slow = figures("static", 9.9, gain=LEAST_GAIN)  # not asked, as it may not pay
    assert not may_pay(slow) and may_pay(good)
    assert best_that_holds([slow]) is None and slow.verdict == "not faster"
    assert holds(points_lost=0.5, box_iou=0.9) and not holds(points_lost=0.0, box_iou=0.89)


def answers(captions: list[bool], contrastive: list[bool]) -> Answered:
    box = (0.0, 0.0, 1.0, 1.0)
    outcomes = [
        Outcome(
            Expression("x", (box,), num_instances=num_instances),
            Photo(Path("x.jpg")),
            box,
            float(r),
            0.5,
        )
        for num_instances, rights in ((0, captions), (2, contrastive))
        for r in rights
    ]
    return Answered(outcomes, Recorder(lambda photo, texts: pytest.fail("nothing is asked")))


def test_a_form_loses_what_it_loses_on_its_worse_questions() -> None:
    reference = answers([True] * 4, [True, True, False, False])
    assert points_lost(answers([True] * 4, [False] * 4), reference) == 25
    assert points_lost(answers([False] * 3 + [True], [True] * 4), reference) == 50
    assert points_lost(answers([True] * 4, [True, False, False, False]), reference) == 0  # one
    assert points_lost(reference, reference) == 0
    many = answers([True] * 1000, [])
    assert points_lost(answers([True] * 999 + [False], []), many) == pytest.approx(0.1)
    alone = answers([True] * 4, [])  # data of one's own, without labelled photos
    assert points_lost(answers([True, True, False, False], []), alone) == 25
    assert np.isnan(points_lost(answers([], []), answers([], [])))


def test_for_another_device_the_first_that_is_as_accurate_is_kept() -> None:
    mixed = figures("mixed", None, lost=0.1, gain=None)
    symmetric = figures("symmetric", None, lost=0.0, gain=None)
    assert may_pay(mixed)
    assert best_that_holds([mixed, symmetric]) == mixed


def test_a_gain_is_what_noise_does_not_explain() -> None:
    rng = np.random.default_rng(0)
    drift = np.repeat(rng.uniform(1, 5, 100), 1)  # of the machine, alike for both
    assert sure_gain(8 * drift, 10 * drift) == pytest.approx(0.2)
    noisy = rng.uniform(5, 15, 100)
    assert sure_gain(0.95 * noisy, rng.permutation(noisy)) < 0 < sure_gain(0.2 * noisy, noisy)


@given(st.lists(st.integers(), unique=True, max_size=50), st.integers(0, 60))
def test_spread_keeps_order_and_count(items: list[int], count: int) -> None:
    chosen = spread(items, count)
    assert len(chosen) == (min(count, len(items)) if count else len(items))
    assert [item for item in items if item in chosen] == chosen


def test_text_graph_takes_one_phrase_of_any_length(exported: TinyGraphs) -> None:
    lengths = {case.inputs[ATTENTION_MASK].shape for case in exported.cases_of(TEXT.name)}
    assert lengths == {(1, 3), (1, 6), (1, 32)}


def test_a_patch_on_the_border_of_two_colours_is_no_difference() -> None:
    tokens = np.random.default_rng(0).random((1, 400, 30)).astype(np.float32)
    other = tokens.copy()
    other[0, 7, -3:-1] += (1 / 16, -1 / 16)
    plain, moved = ({VISUAL_TOKENS: array} for array in (tokens, other))
    assert deviation(other, tokens) > TOLERANCE["vision"]
    settled, changed = (by_colour(x)[VISUAL_TOKENS] for x in (plain, moved))
    assert deviation(changed, settled) < TOLERANCE["vision"]
    other[..., -1] += 0.01
    assert deviation(by_colour(moved)[VISUAL_TOKENS], settled) > TOLERANCE["vision"]
    other[..., -1] -= 0.01
    other[0, 7, 0] += 0.01
    assert deviation(by_colour(moved)[VISUAL_TOKENS], settled) > TOLERANCE["vision"]
