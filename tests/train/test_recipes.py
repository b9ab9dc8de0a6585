"""The papers' settings by name: rates by group, schedule, loss, phrases, and flags that win."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.painted import LEFT, RIGHT, captioned, maker
from tests.tiny import IMAGE_SIZE, tiny_config, tiny_data, tiny_text_encoder
from tests.tiny_encoders import tiny_net
from train.__main__ import main
from train.build import build_model
from train.checkpoint import load_checkpoint
from train.config import TrainConfig
from train.data.own import read_own
from train.data.samples import Expression, Photo
from train.losses.boxes import box_loss
from train.optimizer import build_optimizer
from train.recipes import RECIPES
from train.schedule import falling, warm_cosine

SIZES = {"dim": 16, "layers": 2, "bottleneck": 8, "image_size": IMAGE_SIZE}
BASE = {
    "vision": "facebook/detr-resnet-50",
    "text": "google-bert/bert-base-uncased",
    "image_size": 640,
    "dim": 256,
    "layers": 6,
    "second_neck": False,
    "detection_photos": 0,
    "augment": True,
    "warmup_steps": 0,
    "lr": 1e-4,
    "weight_decay": 1e-4,
    "decay_all": True,
    "loss": "box",
    "fusion": "transvg",
    "pairs": True,
    "wording": False,
    "negatives": 0,
    "clip": 0,
    "ema": 0,
    "epochs": 90,
    "lr_drop": 60,
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("transvg", BASE | {"method": "full", "encoder_lr": 1e-5, "batch_photos": 64}),
        (
            "m2ist",
            BASE | {"method": "m2ist", "side_lr": 1e-5, "batch_photos": 64, "bottleneck": 128},
        ),
        (
            "mapper",
            BASE
            | {"method": "mapper", "vision": "facebook/dinov2-base", "image_size": 518}
            | {"prior": "openai/clip-vit-base-patch16", "epochs": 130, "batch_photos": 256},
        ),
        (
            "unipt",
            BASE
            | {"method": "unipt", "lr": 5e-5, "side_lr": 5e-4, "clip": 0.1, "ema": 0.9998}
            | {"epochs": 10, "lr_drop": 5, "batch_photos": 8, "bottleneck": 128},
        ),
    ],
)
def test_a_recipe_is_what_the_paper_sets(name: str, wanted: dict[str, object]) -> None:
    config = TrainConfig(**RECIPES[name])
    assert {field: getattr(config, field) for field in wanted} == wanted


def rates(folder: Path, recipe: str, kind: str) -> dict[str, float]:
    """Name -> peak rate of every parameter that trains, of the recipe with tiny encoders."""
    tiny_net(kind).save_pretrained(folder / kind)
    changes = {"vision": str(folder / kind), "prior": "self"} | SIZES
    settings = RECIPES[recipe] | changes | {"text": str(tiny_text_encoder(folder))}
    model = build_model(config := TrainConfig(**settings))
    params = model.adapter_params()
    groups = build_optimizer(params, config).param_groups
    peaks = {id(p): group["peak"] for group in groups for p in group["params"]}
    assert len(peaks) == len(params) and {g["weight_decay"] for g in groups} == {1e-4}
    return {name: peaks[id(p)] for name, p in params.items()}


@pytest.mark.parametrize(
    ("recipe", "kind", "slow", "low", "high"),
    [
        ("transvg", "detr", ("vision.", "text."), 1e-5, 1e-4),
        ("mapper", "dinov2", ("vision.loca.", "text.dypa."), 1e-5, 1e-4),
        (
            "m2ist",
            "detr",
            ("method.shared.", "method.vision.", "method.text."),
            1e-5,
            1e-4,
        ),
        ("unipt", "detr", ("method.",), 5e-4, 5e-5),
    ],
)
def test_each_group_has_its_rate(
    recipe: str, kind: str, slow: tuple[str, ...], low: float, high: float, tmp_path: Path
) -> None:
    found = rates(tmp_path, recipe, kind)
    assert {start for start in slow if any(n.startswith(start) for n in found)} == set(slow)
    for name, rate in found.items():
        assert rate == (low if name.startswith(slow) else high), name
    assert any(name.startswith("fusion.") for name in found)
    if recipe == "m2ist":  # to the fusion, as TransVG's own
        assert found["method.project_vision.weight"] == found["method.project_text.bias"] == 1e-4


def test_without_a_rate_of_its_own_the_side_network_has_the_common_one(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, second_neck=True)
    params = build_model(config).adapter_params()
    groups = build_optimizer(params, config).param_groups
    peaks = {id(p): group["peak"] for group in groups for p in group["params"]}
    for name, p in params.items():
        assert peaks[id(p)] == (3e-4 if name.startswith("second_neck.") else 7e-4), name


def test_norms_and_biases_keep_their_size_unless_all_decays(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, second_neck=True, weight_decay=0.5)
    params = build_model(config).adapter_params()
    groups = build_optimizer(params, config).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {name for name, p in params.items() if decays[id(p)]} == {
        name for name, p in params.items() if p.ndim > 1
    }
    assert {0.0, 0.5} == set(decays.values())
    groups = build_optimizer(params, replace(config, decay_all=True)).param_groups
    assert {group["weight_decay"] for group in groups} == {0.5}


def test_rates_fall_to_a_tenth_after_each_so_many_steps() -> None:
    assert [falling(step, 3) for step in (1, 3, 4, 6)] == pytest.approx([1, 1, 0.1, 0.1])
    assert falling(7, 3) == pytest.approx(0.01)
    assert warm_cosine(1, 1000, 0) == pytest.approx(1, abs=1e-3)  # no warm-up asked for


def test_the_box_loss_is_l1_and_giou_of_what_is_there_and_no_other_term() -> None:
    found = torch.tensor([[[0.5, 0.5, 0.2, 0.2]], [[0.3, 0.3, 0.2, 0.2]], [[0.9, 0.9, 0.1, 0.1]]])
    target = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.7, 0.3, 0.2, 0.2], [0.0] * 4])
    present = torch.tensor([True, True, False])
    logits = torch.randn(3, 1, requires_grad=True)
    terms = box_loss(found, logits, target, present)
    giou = [0.5, -(0.6 * 0.2 - 0.08) / (0.6 * 0.2)]  # half of it; two apart in a hull of 0.6 x 0.2
    assert float(terms["l1"]) == pytest.approx((0.2 + 0.4) / 2)
    assert float(terms["giou"]) == pytest.approx(sum(1 - g for g in giou) / 2)
    assert float(terms["total"]) == pytest.approx(float(terms["l1"] + terms["giou"]))
    terms["total"].backward()
    assert logits.grad is not None and not logits.grad.any()
    assert float(box_loss(found, logits, target, present & False)["total"]) == 0


def test_every_phrase_is_asked_once_in_a_pass_as_it_is(tmp_path: Path) -> None:
    pair = captioned(tmp_path, "the left red dress", "the man on the right")
    more = (Expression("both things", (LEFT, RIGHT)), Expression("a zebra", ()))
    photos = [
        Photo(pair.path, (*pair.expressions, *more)),
        Photo(Path("b.jpg"), (Expression("teh cup", (LEFT,)),)),
    ]
    make = maker(photos, images=False, pairs=True, wording=False, negatives=2.0)
    for epoch in range(5):
        batches = [make.batch(group, epoch) for group in make.order(epoch, 2)]
        texts = [text for batch in batches for text in batch.texts]
        assert sorted(texts) == sorted(
            ["the left red dress", "the man on the right", "a zebra", "teh cup"]
        )
        there = dict(zip(texts, (p for b in batches for p in b.present.tolist()), strict=True))
        assert not there.pop("a zebra") and all(there.values())


def test_the_loss_box_is_transvgs() -> None:
    with pytest.raises(ValueError, match="--loss: box is for --fusion transvg"):
        TrainConfig(loss="box")
    with pytest.raises(ValueError, match="--loss: expected one of all, box"):
        TrainConfig(loss="some")


def test_a_recipe_trains_and_flags_beside_it_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_data(tmp_path, own=True)
    tiny_net("detr").save_pretrained(tmp_path / "detr")
    text = tiny_text_encoder(tmp_path)
    flags = {
        "recipe": "m2ist",
        "vision": tmp_path / "detr",
        "text": text,
        "vocab": text / "vocab.txt",
        "data": root,
        "out": tmp_path / "run",
        "batch-photos": 4,
        "epochs": 2,
        "fast-math": "off",
        **{name.replace("_", "-"): value for name, value in SIZES.items()},
    }
    assert main([str(part) for name, v in flags.items() for part in (f"--{name}", v)]) == 0
    said = capsys.readouterr().out
    phrases = sum(len(photo.expressions) for photo in read_own(root, "train"))
    assert f"2 passes, {2 * (phrases // 4)} steps in all" in said
    assert "the score does not train" in said
    groups, config, _ = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    wanted = RECIPES["m2ist"] | {"epochs": 2, "batch_photos": 4, "dim": 16}
    for name, value in wanted.items():
        if name not in ("vision", "text", *SIZES):
            assert getattr(config, name) == value, name
    for name, value in groups["average"].items():  # which is the latest: no average is asked for
        assert torch.equal(value, groups["model"][name]), name
    assert isinstance(build_model(config), nn.Module)
