"""Training end to end on generated data with tiny real encoders."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdk._internal.files import TEMPORARY
from sdk.inputs.frames import as_bgr
from tests.tiny import tiny_config, tiny_data, tiny_text_encoder, tiny_training
from train.__main__ import build_parser, main
from train.build import DEFAULT_VOCAB, build_model
from train.checkpoint import (
    CheckpointError,
    frozen_sha256,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
)
from train.config import TrainConfig
from train.data.readers import read_detection, read_flickr30k
from train.encoders.vision import CompactVision
from train.features import CachedTextFeatures, CachedVisionFeatures, TextTokens
from train.methods import DUAL_METHODS
from train.session import main as session
from train.trainer import Trainer


def trainer(tmp_path: Path, out: str, **changes: object) -> Trainer:
    """A trainer on the generated photos; the same arguments continue the same run."""
    root = tmp_path / "data"
    if not root.exists():
        tiny_data(tmp_path)
    settings = {"epochs": 2, "batch_photos": 2, "warmup_steps": 2, "negatives": 0.5} | changes
    photos = read_flickr30k(root, "train") + read_detection(root, "train")
    vocab = tiny_text_encoder(tmp_path) / "vocab.txt"
    config = tiny_config(tmp_path, **settings)
    return Trainer(config, photos, read_flickr30k(root, "val"), vocab, tmp_path / out)


def steps(run: Trainer, number: int) -> list[float]:
    """Total losses of the next steps of the current epoch."""
    epoch, done = divmod(run.step, run.per_epoch)
    groups = run.batches.order(epoch, run.config.batch_photos)[done : done + number]
    return [run.train_step(run.batches.batch(group, epoch))["total"] for group in groups]


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = trainer(tmp_path, "whole")
    whole.fit()
    first = trainer(tmp_path, "parts")
    steps(first, 3)
    first.save()
    second = trainer(tmp_path, "parts")
    assert second.step == 3 < second.per_epoch
    second.fit()
    for name, value in whole.params.items():
        torch.testing.assert_close(second.params[name], value, rtol=0, atol=1e-6)
    for name, value in whole.average.items():
        torch.testing.assert_close(second.average[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unfreeze_vision": True, "augment": True},
        {"unfreeze_vision": True, "augment": True, "second_neck": True},
        {"fusion": "transvg", "lr": 5e-4},
        {"variant": "paper"},
        *({"method": name} for name in DUAL_METHODS if name != "m2ist"),
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "m2ist",
)
def test_training_learns_and_moves_only_what_should_move(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = {"epochs": 40, "lr": 3e-3, "negatives": 0.0} | changes
    run = trainer(tmp_path, "run", **settings)
    frozen = {n: p.clone() for n, p in run.model.named_parameters() if not p.requires_grad}
    trained = {n: p.clone() for n, p in run.params.items()}
    assert any(n.startswith("vision.") for n in trained) != run.config.caches_vision
    assert any(n.startswith("text.") for n in trained) != run.config.caches_text
    passes = [sum(steps(run, run.per_epoch)) for _ in range(10)]
    assert passes[-1] < 0.85 * passes[0]
    now = dict(run.model.named_parameters())
    assert all(torch.equal(now[n], value) for n, value in frozen.items())
    assert any(not torch.equal(now[n], value) for n, value in trained.items())


def test_kept_features_equal_fresh_ones(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run")
    photos = read_flickr30k(tmp_path / "data", "val")[:2]
    vision = run.model.vision
    assert isinstance(vision, CompactVision) and isinstance(run.cached_vision, CachedVisionFeatures)
    images = [torch.from_numpy(run.preprocess.tensor(as_bgr(p.path))) for p in photos]
    fresh = [vision.features(image) for image in images]
    for kept, *new in zip(run.cached_vision(photos), *fresh, strict=True):
        torch.testing.assert_close(kept, torch.cat(new).half().float())
    assert isinstance(run.texts, CachedTextFeatures)
    live = TextTokens(run.texts._tokenizer)
    texts = ["a dog", "the dog on the left", "a dog"]
    ((*kept_taps, kept_ids), mask), (ids, live_mask) = run.texts(texts), live(texts)
    assert torch.equal(mask, live_mask) and torch.equal(kept_ids, ids)
    live_taps = run.model.text.taps(ids, live_mask)
    for kept, new in zip(kept_taps, live_taps, strict=True):
        torch.testing.assert_close(kept * mask[..., None], new * mask[..., None], atol=2e-3, rtol=0)


def test_another_encoder_gets_other_kept_features(tmp_path: Path) -> None:
    trainer(tmp_path, "run")
    trainer(tmp_path, "again")
    assert len(list((tmp_path / "kept").glob("*.f16"))) == 1
    trainer(tmp_path, "other", vision_weights="random")
    assert len(list((tmp_path / "kept").iterdir())) == 2


def command(tmp_path: Path, *extra: str) -> list[str]:
    return tiny_training(tmp_path, 1, "--out", tmp_path / "run", *extra)


def test_the_command_trains_logs_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_data(tmp_path)
    assert main(command(tmp_path, "--unfreeze-vision")) == 0
    out = capsys.readouterr().out
    assert "parameters train" in out and "Acc@0.5" in out
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    run, published = tmp_path / "run", tmp_path / "published.safetensors"
    assert session(["publish", str(run), str(published)]) == 0
    groups, config, state = load_checkpoint(published)
    model = build_model(dataclasses.replace(config, vision_weights="random"))
    assert state["frozen_sha256"] == frozen_sha256(model)
    load_parameters(model, groups["average"])
    for name, value in load_checkpoint(run / "checkpoint.safetensors")[0]["average"].items():
        torch.testing.assert_close(model.adapter_state()[name], value, atol=1e-3, rtol=1e-3)
    flags = ("--side-weights", str(published), "--out", str(tmp_path / "again"))
    assert main(command(tmp_path, "--unfreeze-vision", *flags)) == 0


def test_other_settings_do_not_continue_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_data(tmp_path)
    assert main(command(tmp_path)) == 0
    assert main(command(tmp_path, "--lr", "0.5")) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image-size", "100"], "--image-size: expected a multiple of 32"),
        (["--vision-weights", "nowhere.safetensors"], "--vision-weights: expected a file"),
        (["--data", "nowhere"], "--data: expected a folder"),
        (["--dim", "12"], "--dim: expected a multiple of 8"),
        (["--method", "lora", "--unfreeze-vision"], "--unfreeze-vision: lora adapts frozen"),
        (["--method", "unipt_joint", "--fusion", "transvg"], "--fusion: unipt_joint has"),
        (["--method", "magic"], "--method: expected one of m2ist"),
        (["--fusion", "sparse"], "--fusion: expected one of candidates, transvg"),
        (["--variant", "draft"], "--variant: expected one of released, paper"),
        (["--vocab", str(DEFAULT_VOCAB)], "--vocab: expected the 38 tokens"),
    ],
)
def test_bad_settings_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    tiny_data(tmp_path)
    assert main(command(tmp_path, *flags)) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(path)
    save_checkpoint(path, {"model": {"a": torch.ones(3)}}, tiny_config(tmp_path), {"step": 1})
    groups, config, state = load_checkpoint(path)
    assert groups["model"]["a"].tolist() == [1, 1, 1] and state == {"step": 1}
    assert config == tiny_config(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(path)
    assert list(tmp_path.glob(f"*{TEMPORARY}")) == []


def test_every_setting_is_a_flag_with_help() -> None:
    text = build_parser().format_help()
    for field in dataclasses.fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "--fast-math" in text and "Peak learning rate" in text


def test_a_run_does_not_continue_on_other_frozen_encoders(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run")
    run.save()
    weights = tmp_path / "detector.safetensors"
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    with pytest.raises(CheckpointError, match="other frozen encoders"):
        trainer(tmp_path, "run")


def test_fewer_photos_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--batch-photos: expected at most the 12 training photos"):
        trainer(tmp_path, "run", batch_photos=100)


@pytest.mark.parametrize(
    ("changes", "vision", "text"),
    [
        ({}, True, True),
        ({"augment": True}, False, True),
        ({"cache_features": False}, False, False),
        ({"method": "full"}, False, False),
        ({"method": "mapper"}, False, False),
        ({"unfreeze_vision": True}, False, True),
    ],
)
def test_only_what_never_changes_is_kept(
    tmp_path: Path, changes: dict[str, object], vision: bool, text: bool
) -> None:
    config = tiny_config(tmp_path, **changes)
    assert (config.caches_vision, config.caches_text) == (vision, text)


def test_computing_anew_gives_what_keeping_gives(tmp_path: Path) -> None:
    kept, anew = trainer(tmp_path, "kept-run"), trainer(tmp_path, "anew", cache_features=False)
    kept.model.train()
    anew.model.train()
    batch, again = (run.batches.batch(run.batches.order(0, 2)[0], 0) for run in (kept, anew))
    assert batch.texts == again.texts and batch.images is None and again.images is not None
    for name, value in kept.loss(batch).items():
        torch.testing.assert_close(anew.loss(again)[name], value, rtol=0.02, atol=0.02)


def test_a_disk_too_small_for_kept_features_is_said_before_they_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match="train with --no-cache-features"):
        trainer(tmp_path, "run")
