"""Runs that are killed, interrupted and carried to another machine."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
import torch

from sdk._internal.files import TEMPORARY
from tests.tiny import (
    rows,
    tiny_config,
    tiny_data,
    tiny_text_encoder,
    tiny_training,
    tiny_vision_weights,
)
from tests.train.test_train import trainer
from tests.waiting import WAIT
from train import session, validation
from train.__main__ import main as train
from train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from train.config import TrainConfig
from train.interrupt import SIGNALS, Interrupted, on_signal
from train.run_state import CHECKPOINT
from train.runlog import ACCURACY, LOSS, RunLog
from train.schedule import REWARM_STEPS, rewarm
from train.session import restore_session, save_session, train_command
from train.trainer import Trainer

KILLS = 5


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.test_session"])
    return context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data and encoders of a tiny run."""
    tiny_data(tmp_path)
    tiny_text_encoder(tmp_path)
    tiny_vision_weights(tmp_path)
    return tmp_path


def train_saying(arguments: list[str], said: Path) -> None:
    """`python -m train` in a process of its own; what it prints goes into a file."""
    with said.open("w") as file, redirect_stdout(file), redirect_stderr(file):
        code = train(arguments)
    os._exit(code)


def start(context: ForkServerContext, folder: Path, out: str, epochs: int) -> ForkServerProcess:
    arguments = tiny_training(folder, epochs, "--eval-every", 2, "--out", folder / out)
    said = folder / f"{out}.txt"
    process = context.Process(target=train_saying, args=(arguments, said), daemon=True)
    process.start()
    return process


def wait_for_change(path: Path, process: ForkServerProcess) -> None:
    """Returns when `path` was replaced while the process runs."""
    before = path.stat().st_ino if path.exists() else None
    while process.is_alive():
        if path.exists() and path.stat().st_ino != before:
            return
        time.sleep(0.002)
    raise AssertionError(f"ended with {process.exitcode} before it wrote {path}")


@pytest.mark.slow
def test_a_run_killed_five_times_ends_exactly_as_one_that_was_not(
    folder: Path, processes: ForkServerContext
) -> None:
    whole = start(processes, folder, "whole", epochs=7)
    rng, checkpoint = random.Random(0), folder / "killed" / CHECKPOINT
    for _ in range(KILLS):
        process = start(processes, folder, "killed", epochs=7)
        wait_for_change(checkpoint, process)
        time.sleep(rng.uniform(0, 0.3))  # in a step, a validation or while the state is written
        process.kill()
        process.join(WAIT)
        assert process.exitcode == -signal.SIGKILL
        load_checkpoint(checkpoint)  # whole, whatever was being written
    last = start(processes, folder, "killed", epochs=7)
    for process in (whole, last):
        process.join(WAIT)
        assert process.exitcode == 0
    expected, _, state = load_checkpoint(folder / "whole" / CHECKPOINT)
    groups, _, other = load_checkpoint(checkpoint)
    assert state == other and state["step"] == 42
    for group, tensors in expected.items():
        assert tensors.keys() == groups[group].keys()
        for name, value in tensors.items():
            assert torch.equal(groups[group][name], value), f"{group}.{name}"
    for name in (LOSS, ACCURACY):
        assert (folder / "killed" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    assert [int(row["step"]) for row in rows(folder / "whole" / ACCURACY)] == list(range(2, 43, 2))
    assert list((folder / "killed").glob(f"*{TEMPORARY}")) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_writes_the_state_and_says_how_to_go_on(
    folder: Path, processes: ForkServerContext, number: signal.Signals
) -> None:
    process = start(processes, folder, "run", epochs=500)
    wait_for_change(folder / "run" / CHECKPOINT, process)
    assert process.pid
    os.kill(process.pid, number)
    process.join(WAIT)
    assert process.exitcode == 130
    last = (folder / "run.txt").read_text().splitlines()[-1]
    step = load_checkpoint(folder / "run" / CHECKPOINT)[2]["step"]
    assert last.endswith(f"{CHECKPOINT} has step {step}, the same command goes on")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_acts_as_before(number: signal.Signals) -> None:
    before, told = signal.getsignal(number), []
    with on_signal(lambda: told.append(True)):
        handler = signal.getsignal(number)
        assert callable(handler) and handler is not before
        handler(number, None)
        assert told == [True] and signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_a_run_stopped_while_it_validates_does_so_when_it_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(folder, "run")
    predict = validation.predict

    def stopped(*asked):  # type: ignore[no-untyped-def]
        run._note_signal()  # what the handler calls; a signal would be one to pytest's process
        return predict(*asked)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="has step 6"):
        patch.setattr(validation, "predict", stopped)
        run.fit()
    assert not (folder / "run" / ACCURACY).exists()
    trainer(folder, "run").fit()
    assert [int(row["step"]) for row in rows(folder / "run" / ACCURACY)] == [6, 12]


def test_a_start_without_a_checkpoint_begins_its_curves_anew(folder: Path) -> None:
    RunLog(folder / "run").add(LOSS, {"step": 20, "another": 1.0})
    trainer(folder, "run")
    assert not (folder / "run" / LOSS).exists()


@pytest.fixture
def stopped(folder: Path) -> Iterator[Trainer]:
    """A run with its encoder that trains, stopped at step 8 of 12, in its second pass."""
    run = trainer(folder, "run", unfreeze_vision=True, augment=True)
    run._train_pass()
    for group in run.batches.order(1, 2)[:2]:
        run.train_step(run.batches.batch(group, 1))
    run.save()
    yield run


def test_a_session_goes_on_at_its_step_with_the_same_batches(
    folder: Path, stopped: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_session(folder / "run", folder / "session.safetensors")
    assert restore_session(folder / "session.safetensors", folder / "again") == stopped.config
    Path(stopped.config.vision_weights).unlink()  # the run holds the encoder
    again = trainer(folder, "again", unfreeze_vision=True, augment=True)
    assert again.step == again.moments_since == 8 and again.per_epoch == 6
    assert (folder / "again" / ACCURACY).read_bytes() == (folder / "run" / ACCURACY).read_bytes()
    for name, p in stopped.params.items():
        torch.testing.assert_close(again.params[name], p, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(again.average[name], stopped.average[name], rtol=1e-3, atol=1e-6)
    assert not again.optimizer.state
    assert again.before and stopped.before
    for name, value in stopped.before.state_dict().items():
        torch.testing.assert_close(again.before.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    batches: dict[str, list[tuple[int, list[str], torch.Tensor]]] = {}
    for name, run in (("run", stopped), ("again", again)):
        step, seen = run.train_step, batches.setdefault(name, [])

        def watched(batch, step=step, seen=seen, run=run):  # type: ignore[no-untyped-def]
            terms = step(batch)
            seen.append((run.step, batch.texts, batch.images))
            return terms

        monkeypatch.setattr(run, "train_step", watched)
        run.fit()
    for one, other in zip(batches["run"], batches["again"], strict=True):
        assert one[:2] == other[:2] and torch.equal(one[2], other[2])
    assert [step for step, *_ in batches["again"]] == [9, 10, 11, 12]
    known = load_checkpoint(folder / "again" / CHECKPOINT)[2]
    assert known["moments_since"] == 8  # a later start goes on with the same warm-up


def test_a_session_keeps_the_average_alone_where_both_do_not_fit(
    folder: Path, stopped: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, alone = folder / "both.safetensors", folder / "alone.safetensors"
    save_session(folder / "run", both)
    assert load_checkpoint(both)[2]["stored"] == "model and average"
    monkeypatch.setattr(session, "LIMIT_BYTES", 4_700_000)
    save_session(folder / "run", alone)
    groups, _, state = load_checkpoint(alone)
    assert state["stored"] == "average" and set(groups) == {"average", "before"}
    restore_session(alone, folder / "again")
    groups, _, _ = load_checkpoint(folder / "again" / CHECKPOINT)
    for name, value in groups["model"].items():
        assert torch.equal(value, groups["average"][name]) and value.dtype == torch.float32
    monkeypatch.setattr(session, "LIMIT_BYTES", 1000)
    before = alone.read_bytes()
    with pytest.raises(CheckpointError, match=r"expected at most 0\.001 MB, got"):
        save_session(folder / "run", alone)
    assert alone.read_bytes() == before


def test_what_is_no_session_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = folder / "run" / CHECKPOINT
    groups = {name: {"a": torch.tensor([1e6])} for name in ("model", "average")}
    save_checkpoint(plain, groups, tiny_config(folder), {"step": 1})
    assert session.main(["restore", str(plain), str(folder / "new")]) == 2
    assert "expected a file of `train.session save`" in capsys.readouterr().err
    assert session.main(["save", str(folder / "run"), str(folder / "out")]) == 2
    assert "a: expected values below 65,504" in capsys.readouterr().err
    assert session.main(["save", str(folder), str(folder / "out")]) == 2
    assert "does not exist" in capsys.readouterr().err
    small = {"model": {"a": torch.ones(1)}, "average": {"a": torch.ones(1)}}
    save_checkpoint(plain, small, tiny_config(folder), {"step": 1})
    assert session.main(["save", str(folder / "run"), str(folder / "out")]) == 0
    assert session.main(["restore", str(folder / "out"), str(folder / "run")]) == 2
    assert "expected a folder without a run" in capsys.readouterr().err
    assert session.main(["restore", str(folder / "out"), str(folder / "new")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("python -m train --out")


def test_the_command_that_goes_on_has_what_is_not_default() -> None:
    config = TrainConfig(unfreeze_vision=True, epochs=3, vision_weights="a b", eval_every=5)
    expected = "python -m train --out r --unfreeze-vision --vision-weights 'a b' --epochs 3"
    assert train_command(config, Path("r")) == expected


def test_a_run_with_other_photos_is_not_continued(folder: Path, stopped: Trainer) -> None:
    stopped.items -= 1
    stopped.save()
    with pytest.raises(CheckpointError, match="expected a run with 11 photos, this one has 12"):
        trainer(folder, "run", unfreeze_vision=True, augment=True)


def test_the_rate_rises_again_where_moments_are_new() -> None:
    assert rewarm(1, since=0) == 1
    assert rewarm(51, since=1) == 50 / REWARM_STEPS
    assert rewarm(1000, since=1) == 1


def test_gradients_that_accumulate_are_not_cut_by_a_checkpoint(folder: Path) -> None:
    """A checkpoint between two optimiser steps would lose the first batch's part."""
    run = trainer(folder, "run", accumulate=2, epochs=1, eval_every=1)
    saved: list[int] = []
    save = run.save
    run.save = lambda: (saved.append(run.step), save())  # type: ignore[method-assign,assign]
    run.fit()
    assert saved == [2, 4, 6]
