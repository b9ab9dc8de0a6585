"""The detector in the side network: places on the grid, classes by name."""

from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from sdk.bundle.contract import CLASSES, PLACES
from train.data.coco import COCO_CLASSES, NONE, UNKNOWN, class_of
from train.data.samples import Expression
from train.encoders.esnet import ESNet
from train.encoders.picodet import (
    convs_in_call_order,
    encoder_from_picodet,
    from_picodet,
    neck_maps,
)
from train.fusion.detections import BINS, DetectionHead, NamedDetections
from train.fusion.layers import cell_centers
from train.losses.boxes import naming_loss

DIM, GRID, COUNT = 16, 4, 6


def lively(module: nn.Module) -> nn.Module:
    """Weights that let a signal through."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    return module.eval()


@pytest.fixture(scope="module")
def detector() -> tuple[ESNet, DetectionHead]:
    encoder, head = lively(ESNet()), lively(DetectionHead())
    assert isinstance(encoder, ESNet) and isinstance(head, DetectionHead)
    return encoder, head


def write_onnx(path: Path, encoder: ESNet, head: DetectionHead) -> Path:
    """The detector's convolutions as an ONNX file for BGR input has them, in order."""
    image = torch.zeros(1, 3, 64, 64)
    convs = convs_in_call_order(encoder, image)
    convs += convs_in_call_order(head, neck_maps(encoder, image))
    nodes, weights = [], []
    for index, conv in enumerate(convs):
        assert conv.bias is not None
        weight = conv.weight.detach().numpy()
        weight = weight[:, ::-1].copy() if index == 0 else weight
        weights += [numpy_helper.from_array(weight, f"w{index}")]
        weights += [numpy_helper.from_array(conv.bias.detach().numpy(), f"b{index}")]
        inputs = [f"x{index}", f"w{index}", f"b{index}"]
        nodes.append(helper.make_node("Conv", inputs, [f"x{index + 1}"]))
    onnx.save(helper.make_model(helper.make_graph(nodes, "detector", [], [], weights)), str(path))
    return path


def test_encoder_and_head_start_from_the_detectors_convolutions(
    tmp_path: Path, detector: tuple[ESNet, DetectionHead]
) -> None:
    path = write_onnx(tmp_path / "picodet.onnx", *detector)
    started = from_picodet(path)
    for ours, theirs in zip(started, detector, strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), name


def test_a_file_without_the_head_is_an_encoder_and_no_detector(
    tmp_path: Path, detector: tuple[ESNet, DetectionHead]
) -> None:
    path = write_onnx(tmp_path / "picodet.onnx", *detector)
    model = onnx.load(path)
    del model.graph.node[-3:]
    onnx.save(model, path)
    for name, value in detector[0].state_dict().items():
        assert torch.equal(encoder_from_picodet(path).state_dict()[name], value), name
    with pytest.raises(ValueError, match=r"expected at least .* convolutions, got"):
        from_picodet(path)
    path.write_bytes(b"no graph")
    with pytest.raises(ValueError, match="is not a PicoDet-S"):
        encoder_from_picodet(path)


@pytest.mark.parametrize("side", [64, 96])
@torch.no_grad()
def test_a_cell_has_the_places_that_lie_in_it(
    side: int, detector: tuple[ESNet, DetectionHead]
) -> None:
    encoder, head = detector
    maps = neck_maps(encoder, torch.randn(1, 3, side, side))
    seen = head(maps).unflatten(2, (PLACES, CLASSES + 4))
    grid = side // 16
    assert seen.shape == (1, grid * grid, PLACES, CLASSES + 4)
    levels = head.predict_levels(maps)
    coarsest = head.levels[3](head.down_in(maps[3]) + head.down_out(maps[2]))
    assert torch.equal(levels[3].logits, coarsest[:, :CLASSES])
    for row in range(grid):
        for column in range(grid):
            cell = seen[0, row * grid + column]
            places = [(0, 2 * row + r, 2 * column + c) for r in range(2) for c in range(2)]
            places += [(level, row >> level - 1, column >> level - 1) for level in (1, 2, 3)]
            for place, (level, y, x) in zip(cell, places, strict=True):
                logits, sides = levels[level]
                torch.testing.assert_close(place[:CLASSES], logits[0, :, y, x].sigmoid())
                step = 8 * 2**level / side
                left, top, right, bottom = (sides[0, :, y, x] * step).tolist()
                cx, cy = (x + 0.5) * step, (y + 0.5) * step
                edges = [cx - left, cy - top, cx + right, cy + bottom]
                center, size = place[CLASSES : CLASSES + 2], place[CLASSES + 2 :]
                found = torch.cat([center - size / 2, center + size / 2])
                torch.testing.assert_close(found, torch.tensor(edges))


def test_a_distance_is_the_mean_of_its_bins() -> None:
    logits = 300 * torch.randn(2, 4, BINS, 3, 3)  # whose powers are no numbers
    steps = torch.arange(BINS).float()[:, None, None]
    want = (logits.softmax(2) * steps).sum(2)
    torch.testing.assert_close(DetectionHead().mean_steps(logits), want)


def named_detections() -> NamedDetections:
    """Word k, one-hot, names class k and no other."""
    torch.manual_seed(0)
    module = NamedDetections(DIM, DIM, GRID, COUNT)
    nn.init.normal_(module.tell[-1].weight)
    with torch.no_grad():
        module.name.weight.zero_()
        module.name.weight[:DIM] = 20 * torch.eye(DIM)
        module.name.bias.fill_(-10)
    return module.eval()


@torch.no_grad()
def test_a_phrase_is_told_of_the_class_that_it_names_and_of_no_other() -> None:
    module, centers = named_detections(), cell_centers(GRID)
    text, mask = torch.eye(DIM)[[3, 5]][None], torch.tensor([[True, False]])
    seen = torch.rand(1, GRID**2, PLACES * (CLASSES + 4))
    named = module(seen, text, mask, centers)
    assert named.told.shape == (1, GRID**2, DIM) and named.classes.shape == (1, CLASSES)
    assert named.classes[0].argmax() == 3 and named.classes[0, 5] < 0  # the second is padding
    assert named.known[0, 0] > 0.99
    places = seen.unflatten(2, (PLACES, -1))
    torch.testing.assert_close(named.seen, places[..., 3].amax(-1), atol=1e-3, rtol=0)
    for label, matters in ((3, True), (5, False), (70, False)):
        changed = seen.clone().unflatten(2, (PLACES, -1))
        changed[0, 7, 2, label] += 1.0
        after = module(changed.flatten(2), text, mask, centers).told
        differs = (after - named.told).abs().amax(-1)[0] > 1e-3
        assert differs.nonzero().flatten().tolist() == ([7] if matters else [])


def detected(*found: tuple[int, int, int, float, tuple[float, ...]]) -> Tensor:
    """Nothing but these: cell, place, class, probability, box."""
    seen = torch.zeros(1, GRID**2, PLACES, CLASSES + 4)
    for cell, place, label, probability, box in found:
        seen[0, cell, place, label] = probability
        seen[0, cell, place, CLASSES:] = torch.tensor(box)
    return seen.flatten(2)


@torch.no_grad()
def test_the_best_boxes_are_of_one_thing_each() -> None:
    left, right, near = (0.2, 0.5, 0.2, 0.4), (0.8, 0.5, 0.2, 0.4), (0.21, 0.5, 0.2, 0.4)
    seen = detected(
        (0, 4, 3, 0.9, left), (1, 4, 3, 0.8, near), (2, 0, 3, 0.3, right), (3, 4, 5, 0.95, right)
    )
    text, mask = torch.eye(DIM)[[3]][None], torch.ones(1, 1, dtype=torch.bool)
    module, centers = named_detections(), cell_centers(GRID)
    named = module(seen, text, mask, centers)
    assert named.cells.shape == (1, COUNT) and named.cells[0, :2].tolist() == [0, 2]
    torch.testing.assert_close(named.boxes[0, :2], torch.tensor([left, right]))
    torch.testing.assert_close(named.hits[0, :2], torch.tensor([0.9, 0.3]), atol=1e-3, rtol=0)
    cells = torch.tensor([[0, 3]])
    rivals = module.rivals(seen, named, cells)
    torch.testing.assert_close(rivals, torch.tensor([[0.0, 0.95]]), atol=1e-2, rtol=0)


@torch.no_grad()
def test_a_coarse_place_counts_once_although_it_stands_in_several_cells() -> None:
    box = (0.5, 0.5, 0.5, 0.5)
    copies = [(cell, 5, 3, 0.9, box) for cell in (0, 1, GRID, GRID + 1)]
    text, mask = torch.eye(DIM)[[3]][None], torch.ones(1, 1, dtype=torch.bool)
    named = named_detections()(detected(*copies), text, mask, cell_centers(GRID))
    assert named.hits[0, 0] > 0.89 and named.hits[0, 1:].max() < 0.1


@torch.no_grad()
def test_each_place_counts_in_the_cells_where_it_begins() -> None:
    grid = 8
    module = NamedDetections(DIM, DIM, grid, COUNT)
    steps = (1, 1, 1, 1, 1, 2, 4)  # four places of stride 8, one each of 16, 32 and 64
    want = torch.tensor(
        [[cell // grid % s == cell % grid % s == 0 for s in steps] for cell in range(grid**2)]
    )
    assert torch.equal(module.once.unflatten(0, (-1, PLACES)) > 0, want)


def test_no_gradient_goes_through_the_choice_of_boxes() -> None:
    text, mask = torch.eye(DIM)[[3]][None], torch.ones(1, 1) > 0
    named = named_detections()(detected((0, 4, 3, 0.9, (0.2,) * 4)), text, mask, cell_centers(GRID))
    assert named.seen.requires_grad and not named.hits.requires_grad


@torch.no_grad()
def test_boxes_of_one_thing_are_the_last_choice_the_likeliest_first() -> None:
    box, text, mask = (0.3, 0.5, 0.2, 0.4), torch.eye(DIM)[[3]][None], torch.ones(1, 1) > 0
    same = [(cell, 0, 3, 0.5 + 0.1 * cell, box) for cell in range(COUNT)]
    named = named_detections()(detected(*same), text, mask, cell_centers(GRID))
    assert named.cells[0].tolist() == list(range(COUNT))[::-1]


@torch.no_grad()
def test_the_best_boxes_are_looked_for_among_the_likeliest_places() -> None:
    text, mask, centers = torch.eye(DIM)[[3]][None], torch.ones(1, 1) > 0, cell_centers(GRID)
    many = [(n // 4, n % 4, 3, 0.9, (0.3, 0.5, 0.2, 0.4)) for n in range(48)]
    for others, second in ((many[1:], 0.8), (many, 0.9)):
        other = (GRID**2 - 1, 0, 3, 0.8, (0.8, 0.5, 0.2, 0.4))
        named = named_detections()(detected(*others, other), text, mask, centers)
        torch.testing.assert_close(named.hits[0, 1].item(), second, atol=1e-2, rtol=0)


def test_at_the_start_nothing_is_told() -> None:
    module = NamedDetections(DIM, DIM, GRID, COUNT)
    text, mask = torch.randn(2, 3, DIM), torch.ones(2, 3, dtype=torch.bool)
    seen = torch.rand(2, GRID**2, PLACES * (CLASSES + 4))
    assert not module(seen, text, mask, cell_centers(GRID))[0].any()


def test_naming_is_a_choice_among_the_classes_and_none() -> None:
    names = torch.full((3, CLASSES), -8.0)
    names[0, 4] = 8.0
    classes = torch.tensor([4, UNKNOWN, UNKNOWN])
    assert naming_loss(names, classes) < 1e-2
    assert naming_loss(names, torch.tensor([5, UNKNOWN, UNKNOWN])) > 10
    assert naming_loss(names, torch.full((3,), UNKNOWN)) == 0
    nothing = torch.tensor([NONE, UNKNOWN, UNKNOWN])
    assert naming_loss(names, nothing) > 5 > 0.1 > naming_loss(names.clamp(max=-8.0), nothing)
    names.requires_grad_()
    naming_loss(names, torch.tensor([UNKNOWN, 0, UNKNOWN])).backward()
    assert names.grad is not None and not names.grad[[0, 2]].any() and names.grad[1, 0] < 0


def test_classes_are_those_of_labels_and_of_people() -> None:
    assert len(COCO_CLASSES) == CLASSES == 80 and len(set(COCO_CLASSES)) == 80
    known = {0: "person", 2: "car", 15: "cat", 56: "chair", 79: "toothbrush"}  # COCO's own order
    assert {number: COCO_CLASSES[number] for number in known} == known
    box = ((0.0, 0.0, 1.0, 1.0),)
    for label, kind, name in (
        ("dog", "size", "dog"),
        ("dining table", "nth", "dining table"),
        ("woman", "left/right", "person"),
        ("", "people", "person"),
    ):
        assert COCO_CLASSES[class_of(Expression("x", box, kind, 0, label))] == name
    assert class_of(Expression("a kangaroo", box, "single", 1, "kangaroo")) == NONE


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("a black dog", "animals", "dog"),
        ("His bikes", "vehicles", "bicycle"),
        ("a red tie", "clothing", "tie"),
        ("a dog house", "other", UNKNOWN),
        ("a blue shirt", "clothing", NONE),
        ("the grass", "scene", NONE),
        ("a canoe", "other", UNKNOWN),
        ("a shirt with a dog", "relation", UNKNOWN),
        ("the cat on the left", "absent", UNKNOWN),
    ],
)
def test_the_class_of_a_caption_is_the_word_that_it_ends_in(
    text: str, kind: str, expected: str | int
) -> None:
    number = expected if isinstance(expected, int) else COCO_CLASSES.index(expected)
    assert class_of(Expression(text, ((0.0, 0.0, 1.0, 1.0),), kind)) == number
