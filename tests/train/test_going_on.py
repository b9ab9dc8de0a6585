"""Runs that go on: after their end, in other processes, elsewhere; their best weights, curves."""

import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tiny import tiny_checkpoint, tiny_config, tiny_data
from tests.train.test_train import command, steps, trainer
from train.__main__ import main
from train.checkpoint import CheckpointError, load_checkpoint
from train.evaluate import main as evaluate
from train.inference import load_model
from train.run_state import BEST
from train.runlog import ACCURACY


def test_a_run_goes_on_after_its_end_with_more_passes(tmp_path: Path) -> None:
    first = trainer(tmp_path, "run", epochs=1)
    first.fit()
    more = trainer(tmp_path, "run", epochs=3)
    assert more.step == first.total_steps == 6 and more.total_steps == 18
    for name, value in first.params.items():
        assert torch.equal(more.params[name], value)
    more.fit()
    assert more.step == 18
    assert more.log.columns(ACCURACY)["step"] == [6, 12, 18]
    with pytest.raises(CheckpointError, match="has 18 steps, more than the 12 asked for"):
        trainer(tmp_path, "run", epochs=2)
    with pytest.raises(CheckpointError, match="other settings"):
        trainer(tmp_path, "run", epochs=4, lr=1.0)


def test_other_settings_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    trainer(tmp_path, "run").save()
    shutil.rmtree(tmp_path / "kept")
    with pytest.raises(CheckpointError, match="other settings"):
        trainer(tmp_path, "run", lr=1.0)
    with pytest.raises(ValueError, match="--batch-photos"):
        trainer(tmp_path, "other", batch_photos=100)
    assert not (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_data(tmp_path)
    (tmp_path / "run").write_text("a file")
    assert main(command(tmp_path)) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "kept").exists()


def test_another_number_of_processes_goes_on_where_as_many_photos_were_seen(
    tmp_path: Path,
) -> None:
    run = trainer(tmp_path, "run")
    losses = steps(run, 4)
    assert len(losses) == 4
    run.log.add("loss.csv", {"step": 4, "total": losses[-1]})
    run.world = 2  # as if two had shared the photos: three steps a pass, four are eight photos more
    run.save()
    one = trainer(tmp_path, "run")
    assert one.step == 6 + 2 and one.per_epoch == 6
    assert one.log.columns("loss.csv")["step"] == [8]
    for name, value in run.params.items():
        assert torch.equal(one.params[name], value)
    halved = trainer(tmp_path, "run", batch_photos=4, accumulate=2)  # the same photos a step
    assert halved.step == 4 and halved.per_epoch == 3
    fixed = trainer(tmp_path, "fixed", steps=9)
    steps(fixed, 4)
    fixed.world = 2
    fixed.save()
    assert trainer(tmp_path, "fixed", steps=9).step == 4


def test_the_weights_that_validated_best_are_kept_beside_the_last(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run", epochs=3, lr=3e-3)
    run.fit()
    reached = run.log.columns(ACCURACY)["accuracy"]
    assert len(reached) == 3
    groups, config, state = load_checkpoint(run.out / BEST)
    assert list(groups) == ["average"] and config == run.config
    assert state["accuracy"] == max(reached)
    at = [step for step, value in zip((6, 12, 18), reached, strict=True) if value == max(reached)]
    assert state["step"] == at[-1]
    model, _ = load_model(run.out / BEST)
    for name, value in groups["average"].items():
        assert torch.equal(model.adapter_state()[name], value)
    before = (run.out / BEST).read_bytes()
    run._reached = None
    run.log.add(ACCURACY, {"step": 19, "accuracy": 1000.0, "phrases": 1})
    run.step = 20
    run._log_accuracy()  # worse than what the file says
    assert (run.out / BEST).read_bytes() == before


def test_curves_go_to_tensorboard(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run", epochs=4, track="tensorboard")
    run.fit()
    events = EventAccumulator(str(run.out / "curves")).Reload()
    assert set(events.Tags()["scalars"]) >= {"loss/total", "validation/accuracy"}
    accuracy = [(e.step, e.value) for e in events.Scalars("validation/accuracy")]
    assert [step for step, _ in accuracy] == [6, 12, 18, 24]
    assert [value for _, value in accuracy] == pytest.approx(run.log.columns(ACCURACY)["accuracy"])
    assert load_checkpoint(run.checkpoint)[1].track == ""  # says how a run is watched, not what


@pytest.mark.parametrize(
    ("name", "says"), [("magic", "expected one of"), ("wandb", "pip install wandb")]
)
def test_a_tracker_that_is_not_there_is_refused(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--track: .*{says}"):
        trainer(tmp_path, "run", track=name)


def test_a_run_goes_on_where_its_encoders_lie_elsewhere(tmp_path: Path) -> None:
    run = trainer(tmp_path, "run")
    steps(run, 2)
    run.save()
    for name in ("text-encoder", "detector.safetensors"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    moved = {
        "text": str(tmp_path / "moved-text-encoder"),
        "vision_weights": str(tmp_path / "moved-detector.safetensors"),
    }
    assert trainer(tmp_path, "run", **moved).step == 2


def test_a_checkpoint_is_evaluated_on_any_split_wherever_its_encoders_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_data(tmp_path, own=True)
    shutil.copy(root / "val.jsonl", root / "testA.jsonl")
    checkpoint = tiny_checkpoint(tmp_path)
    (tmp_path / "text-encoder").rename(tmp_path / "elsewhere")
    flags = ["--checkpoint", str(checkpoint), "--data", str(root)]
    flags += ["--vocab", str(tmp_path / "elsewhere" / "vocab.txt")]
    assert evaluate(flags) == 2
    assert "text-encoder" in capsys.readouterr().err
    here = [*flags, "--text", str(tmp_path / "elsewhere")]
    assert evaluate([*here, "--split", "testA", "--json", str(tmp_path / "a.json")]) == 0
    assert "(12 phrases)" in capsys.readouterr().out
    assert evaluate([*here, "--json", str(tmp_path / "b.json")]) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert evaluate([*here, "--split", "testB"]) == 2
    assert "testB.jsonl" in capsys.readouterr().err
    other = tiny_config(tmp_path).text  # made anew, with weights that are as random
    assert evaluate([*flags, "--text", other]) == 0
    assert evaluate(["--checkpoint", str(tmp_path / "no.safetensors"), "--data", str(root)]) == 2
    assert "no.safetensors" in capsys.readouterr().err


def test_lists_that_never_change_have_one_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_data(tmp_path)
    assert evaluate(["--data", str(root), "--split", "test"]) == 2
    assert "--split: expected val" in capsys.readouterr().err
