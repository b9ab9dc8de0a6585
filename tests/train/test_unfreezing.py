"""A vision encoder that trains along: what it must not forget, and how it is frozen again."""

import warnings
from pathlib import Path

import pytest
import torch

from tests.tiny import IMAGE_SIZE, tiny_checkpoint, tiny_detector_weights, tiny_vision_weights
from tests.train.test_train import steps, trainer
from train.build import VISION_WEIGHTS, load_compact, load_detector
from train.checkpoint import CheckpointError, load_checkpoint
from train.inference import load_model
from train.losses.forgetting import FrozenDetector, forgetting_loss
from train.model import GroundingModel
from train.session import main as session
from train.trainer import Trainer

TUNING = {"unfreeze_vision": True, "augment": True, "second_neck": True}
"""How the default's encoder was trained."""


def drift(run: Trainer, images: torch.Tensor) -> float:
    """How far the run's detector is from the one it started as."""
    weights = run.config.vision_weights
    before = FrozenDetector(load_compact(weights).net, load_detector(run.config))
    model = run.model
    assert model.detector is not None
    levels = model.detector.predict_levels(model.vision.neck(model.vision.features(images)))
    return forgetting_loss(levels, before(images)).item()


def test_what_the_detector_said_is_held(tmp_path: Path) -> None:
    images = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    drifts = []
    for out in ("held", "free"):
        run = trainer(tmp_path, out, **TUNING, lr=3e-3, encoder_lr=1e-3)
        assert run.before is not None and drift(run, images) == pytest.approx(0, abs=1e-6)
        if out == "free":
            run.before = None
        for _ in range(3):  # the first steps are mostly noise
            steps(run, 6)
        drifts.append(drift(run, images))
    held, free = drifts
    assert 0 < held < 0.8 * free


def test_the_term_is_one_of_the_sum(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run", **TUNING)
    batch = run.batches.batch(run.batches.order(0, 2)[0], 0)
    run.model.train()
    terms = run.loss(batch)
    assert list(terms)[-1] == "total"
    others = sum(v for name, v in terms.items() if name not in ("total", "forgetting"))
    torch.testing.assert_close(terms["total"], others + terms["forgetting"])
    run.before = None
    assert "forgetting" not in run.loss(batch)


def test_an_encoder_without_a_detector_has_nothing_to_hold(tmp_path: Path) -> None:
    weights = str(tiny_vision_weights(tmp_path))
    assert trainer(tmp_path, "run", **TUNING, vision_weights=weights).before is None


def answers(model: GroundingModel) -> torch.Tensor:
    image = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[2, 7, 30, 3]])
    with torch.no_grad():
        return model(image, torch.zeros(1, dtype=torch.long), ids, torch.ones_like(ids)).boxes


def test_frozen_again_it_answers_as_before(tmp_path: Path) -> None:
    tuned = tiny_checkpoint(tmp_path, unfreeze_vision=True, second_neck=True)
    side, detector = tmp_path / "side.safetensors", tmp_path / "new-detector.safetensors"
    assert session(["freeze", str(tuned), str(side), str(detector)]) == 0
    (expected, _), (model, config) = load_model(tuned), load_model(side)
    assert not config.unfreeze_vision and config.vision_weights == str(detector)
    torch.testing.assert_close(answers(model), answers(expected), rtol=0.01, atol=2e-3)
    learns = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learns and not any(name.startswith(("vision.", "detector.")) for name in learns)


def test_the_name_of_a_shipped_encoder_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = tiny_checkpoint(tmp_path, unfreeze_vision=True)
    side, encoder = tmp_path / "new" / "side.safetensors", tmp_path / "new" / "encoder.safetensors"
    monkeypatch.setitem(VISION_WEIGHTS, "default", encoder)
    assert session(["freeze", str(tuned), str(side), str(encoder)]) == 0
    assert load_checkpoint(side)[1].vision_weights == "default"
    load_model(side)


def test_both_parts_are_written_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = tiny_checkpoint(tmp_path, unfreeze_vision=True)
    side, encoder = tmp_path / "side.safetensors", tmp_path / "encoder.safetensors"
    encoder.write_bytes(b"before")
    refused = "expected three different files"
    for paths in ((tuned, side, side), (tuned, tuned, encoder), (tuned, side, tuned)):
        assert session(["freeze", *map(str, paths)]) == 2
        assert refused in capsys.readouterr().err
    assert session(["freeze", str(tuned), str(side), str(tmp_path / "detector")]) == 2
    assert "expected a .safetensors for the encoder" in capsys.readouterr().err
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    assert session(["freeze", str(tuned), str(not_a_folder / "side"), str(encoder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "text-encoder").rename(tmp_path / "elsewhere")
    assert session(["freeze", str(tuned), str(side), str(encoder)]) == 2
    assert encoder.read_bytes() == b"before" and not side.exists()


def test_a_side_network_needs_its_encoder(tmp_path: Path) -> None:
    tuned = tiny_checkpoint(tmp_path, unfreeze_vision=True, second_neck=True)
    side, encoder = tmp_path / "side.safetensors", tmp_path / "encoder.safetensors"
    assert session(["freeze", str(tuned), str(side), str(encoder)]) == 0
    frozen = {"second_neck": True, "augment": True}
    with pytest.raises(CheckpointError, match="whose encoder trained: give --unfreeze-vision"):
        trainer(tmp_path, "dropped", **frozen, side_weights=str(tuned))
    with pytest.warns(UserWarning, match="belongs to other encoders"):
        trainer(tmp_path, "other", **frozen, side_weights=str(side))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        own = {"side_weights": str(side), "vision_weights": str(encoder)}
        trainer(tmp_path, "own", **frozen, **own)
        trainer(tmp_path, "tuned", **TUNING, side_weights=str(tuned))


def test_a_model_on_a_frozen_encoder_has_nothing_to_freeze(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tiny_checkpoint(tmp_path), tmp_path / "side.safetensors"
    before = tiny_detector_weights(tmp_path).read_bytes()
    assert session(["freeze", str(model), str(out), str(tiny_detector_weights(tmp_path))]) == 2
    assert "expected a model trained with --unfreeze-vision" in capsys.readouterr().err
    assert not out.exists() and tiny_detector_weights(tmp_path).read_bytes() == before
