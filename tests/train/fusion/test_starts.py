"""How the candidates fusion starts: sizes, and the values that training starts from."""

import pytest
import torch
from torch import nn

from train.build import VISION_WEIGHTS, WEIGHTS
from train.checkpoint import load_checkpoint
from train.encoders.detector_file import HEAD_PART, read_part
from train.fusion.candidates import CandidatesFusion, start_evidence
from train.fusion.detections import DetectionHead

DIM, GRID = 32, 4


@pytest.fixture(scope="module")
def fusion() -> CandidatesFusion:
    torch.manual_seed(0)
    return CandidatesFusion(DIM, GRID, detecting=True)


def last(layers: nn.Module) -> tuple[list[list[float]], list[float]]:
    """Weight and bias of the last layer of a sequence."""
    layer = list(layers.children())[-1]
    return layer.weight.tolist(), layer.bias.tolist()


def test_sizes_are_those_of_the_shipped_weights() -> None:
    groups, config, _ = load_checkpoint(WEIGHTS / "default_checkpoint.safetensors")
    built = CandidatesFusion(config.dim, config.image_size // 16, detecting=True)
    shipped = {n.removeprefix("fusion."): v.shape for n, v in groups["average"].items()}
    assert {n: p.shape for n, p in built.named_parameters()} == {
        n: shape for n, shape in shipped.items() if not n.startswith(("method.", "second_neck."))
    }
    assert built.counts == [14, 6, 6] and built.scene_dim == 192
    for path in VISION_WEIGHTS.values():
        DetectionHead().load_state_dict(read_part(path, HEAD_PART))


def test_a_small_image_has_fewer_candidates() -> None:
    assert CandidatesFusion(DIM, 2, detecting=False).counts == [4, 0, 4]
    assert CandidatesFusion(DIM, 4, detecting=False).counts == [14, 0, 6]


def test_positions_and_roles_start_small(fusion: CandidatesFusion) -> None:
    for learned in (fusion.positions, fusion.roles):
        assert 0.01 < float(learned.detach().std()) < 0.03


def test_boxes_start_at_a_third_of_the_image_and_nothing_is_there(fusion: CandidatesFusion) -> None:
    weight, bias = last(fusion.match_head)
    assert not any(map(any, weight)) and bias == pytest.approx([-4, -4, *4 * [-1.6]])
    weight, bias = last(fusion.head)
    assert not any(map(any, weight)) and bias == [6.0, 6.0]
    weight, bias = last(fusion.presence)
    assert not any(map(any, weight)) and bias == [0.0]
    assert fusion.match_weight.item() == fusion.detected_weight.item() == 2.0


def test_the_middle_of_a_box_starts_at_nothing(fusion: CandidatesFusion) -> None:
    assert not any(parameter.any() for parameter in fusion.pool.parameters())


def test_what_detector_and_colours_say_starts_at_nothing(fusion: CandidatesFusion) -> None:
    for part in (fusion.detections, fusion.colours):
        assert part is not None
        weight, bias = last(part.tell)
        assert not any(map(any, weight)) and not any(bias)
    names = fusion.detections.name
    assert names.bias.tolist() == [-3.0] * len(names.bias)
    assert fusion.colours.tell[0].weight.shape == (16, 2)


def test_a_rule_is_there_from_the_start() -> None:
    """Being rather something else that is known."""
    evidence = start_evidence(DIM)
    first = evidence[0]
    assert first.weight.shape == (16, 5)
    assert first.weight[0].tolist() == [0, 0, -1, 1, 1] and first.bias[0] == -1
    weight, bias = last(evidence)
    assert weight[-1] == [-1.0, *15 * [0.0]] and len(weight) == DIM + 1
    assert not any(map(any, weight[:-1])) and not any(bias)
