"""`python -m train.session`: carry a run to another machine in one small file.

    python -m train.session save runs/mine mine.safetensors
    python -m train.session restore mine.safetensors runs/mine    # prints the command that goes on
    python -m train.session publish runs/mine model.safetensors   # the averaged weights alone
    python -m train.session mean before.safetensors after.safetensors mean.safetensors --share 0.6
    python -m train.session freeze model.safetensors side.safetensors encoder.safetensors

The file holds averaged and, where there is room, current parameters in half precision, the step,
the settings and the curves so far, but not AdamW's moments: those start anew, with a short warm-up
(`schedule.rewarm`). Order of the photos, phrases and schedule go on as they would have. What is
published is for export and for --side-weights.

A run that began with a published model's weights and that model make different mistakes; the mean
of both is often better than either (Wortsman et al., "Model soups", arXiv:2203.05482).

Where the encoder trained along, `freeze` makes it the frozen one of a model of its own: what trains
from there on keeps its features.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from train import needs_torch  # noqa: F401

# isort: split

from torch import Tensor

from sdk._internal.files import replacing
from train.build import VISION_WEIGHTS, build_model
from train.checkpoint import (
    CheckpointError,
    frozen_sha256,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
    write_tensors,
)
from train.commands import report_errors
from train.config import TrainConfig
from train.encoders.detector_file import ENCODER_PART, HEAD_PART
from train.run_state import CHECKPOINT
from train.runlog import RunLog

LIMIT_BYTES = 10_000_000
HEADER_BYTES = 500_000
"""Left for names, settings and curves when it is decided what to store."""


def save_session(run: Path, out: Path) -> None:
    """Write the state of the run in folder `run`, which may be training, to `out`.

    Raises:
        CheckpointError: no run is there, or its file would be larger than LIMIT_BYTES; `out` is
            then as it was.
        OSError: `out` cannot be written.
    """
    groups, config, state = load_checkpoint(run / CHECKPOINT)
    kept = {name: halved(group) for name, group in groups.items() if name != "adam"}
    size = sum(t.nbytes for group in kept.values() for t in group.values())
    if size > LIMIT_BYTES - HEADER_BYTES:
        del kept["model"]  # its average is close, and better
    stored = " and ".join(name for name in ("model", "average") if name in kept)
    state |= {"stored": stored, "curves": RunLog(run).read()}
    with replacing(out) as temporary:
        save_checkpoint(temporary, kept, config, state)
        size = temporary.stat().st_size
        if size > LIMIT_BYTES:
            raise CheckpointError(
                f"{out}: expected at most {LIMIT_BYTES / 1e6:g} MB, got {size / 1e6:.1f} MB for "
                f"what trains; take {run / CHECKPOINT} along as it is"
            )


def publish(run: Path, out: Path) -> None:
    """Write the averaged weights of the run in folder `run`, in half precision, to `out`.

    Raises:
        CheckpointError: no run is there, or a value is too large. OSError: `out` cannot be written.
    """
    groups, config, state = load_checkpoint(run / CHECKPOINT)
    kept = {key: state[key] for key in ("step", "frozen_sha256")}
    config = dataclasses.replace(config, side_weights="")
    save_checkpoint(out, {"average": halved(groups["average"])}, config, kept)


def mean(first: Path, second: Path, out: Path, share: float) -> None:
    """Write (1 - share) * first + share * second, in half precision, with the second's settings.

    Raises:
        CheckpointError: one is no published model, or they are not of one architecture and encoder.
        OSError: `out` cannot be written.
    """
    (groups, _, about), (others, config, state) = map(load_checkpoint, (first, second))
    before, after = groups["average"], others["average"]
    shapes = [{name: t.shape for name, t in group.items()} for group in (before, after)]
    if shapes[0] != shapes[1] or about["frozen_sha256"] != state["frozen_sha256"]:
        raise CheckpointError(
            f"{first}, {second}: expected two models of the same settings on the same encoders"
        )
    between = {name: before[name].float().lerp(t.float(), share) for name, t in after.items()}
    save_checkpoint(out, {"average": halved(between)}, config, state)


def freeze(model: Path, side: Path, encoder: Path) -> None:
    """Write the parts of a published model whose encoder trained along, both or none.

    Args:
        model: what `publish` or `mean` wrote.
        side: gets side network and fusion, for --side-weights and for export.
        encoder: gets the vision encoder with its detection head, for --vision-weights.

    Raises:
        CheckpointError: no published model, or one on a frozen encoder; or not three files.
        ValueError, OSError: the text encoder cannot be had, or a file not be written.
    """
    if len({path.resolve() for path in (model, side, encoder)}) < 3:
        raise CheckpointError(f"expected three different files, got {model}, {side}, {encoder}")
    if encoder.suffix != ".safetensors":
        raise CheckpointError(f"expected a .safetensors for the encoder, got {encoder}")
    groups, config, state = load_checkpoint(model)
    if not (config.has_detector and config.unfreeze_vision) or config.trains_text:
        raise CheckpointError(f"{model}: expected a model trained with --unfreeze-vision")
    rest = halved(groups["average"])
    parts = {"vision.net.": ENCODER_PART, "detector.": HEAD_PART}
    split = {
        part + name.removeprefix(prefix): rest.pop(name).contiguous()
        for prefix, part in parts.items()
        for name in sorted(rest)
        if name.startswith(prefix)
    }
    names = {path.resolve(): name for name, path in VISION_WEIGHTS.items()}
    weights = names.get(encoder.resolve(), str(encoder))
    config = dataclasses.replace(config, unfreeze_vision=False, vision_weights=weights)
    with TemporaryDirectory() as folder:
        written = Path(folder) / encoder.name
        write_tensors(split, written)
        built = build_model(dataclasses.replace(config, vision_weights=str(written)))
        load_parameters(built, rest)  # refuses what `side` could not be loaded with
        state |= {"frozen_sha256": frozen_sha256(built)}
        encoder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(encoder) as temporary:
            copyfile(written, temporary)
            save_checkpoint(side, {"average": rest}, config, state)


def restore_session(file: Path, run: Path) -> TrainConfig:
    """Make the folder `run` out of what `save_session` wrote; returns the run's settings.

    Raises:
        CheckpointError: `file` is not of `save_session`, or `run` has a checkpoint already.
        OSError: `run` cannot be written.
    """
    groups, config, state = load_checkpoint(file)
    if "curves" not in state:
        raise CheckpointError(f"{file}: expected a file of `train.session save`, got another one")
    if (run / CHECKPOINT).exists():
        raise CheckpointError(f"{run}: expected a folder without a run, got {CHECKPOINT} in it")
    del state["stored"]
    curves = state.pop("curves")
    groups.setdefault("model", groups["average"])
    groups = {prefix: {n: t.float() for n, t in group.items()} for prefix, group in groups.items()}
    run.mkdir(parents=True, exist_ok=True)
    RunLog(run).write(curves)
    state["moments_since"] = state["step"]
    save_checkpoint(run / CHECKPOINT, groups, config, state)
    return config


def halved(group: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in float16. Raises CheckpointError where a value is too large for it."""
    halves = {name: tensor.half() for name, tensor in group.items()}
    for name, half in halves.items():
        if not half.isfinite().all():
            raise CheckpointError(f"{name}: expected values below 65,504, got larger ones or nan")
    return halves


def train_command(config: TrainConfig, run: Path) -> str:
    """The command that goes on with a run of these settings."""
    words = ["python", "-m", "train", "--out", str(run)]
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), field.name.replace("_", "-")
        if not field.compare or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


@report_errors(ValueError, OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m train.session",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("save", "a run's folder to a file to go on from"),
        ("publish", "a run's averaged weights to a file"),
    ):
        write = commands.add_parser(name, help=text)
        write.add_argument("run", type=Path)
        write.add_argument("file", type=Path)
    restore = commands.add_parser("restore", help="a file to a run's folder")
    restore.add_argument("file", type=Path)
    restore.add_argument("run", type=Path)
    between = commands.add_parser("mean", help="the weights between two published models")
    for name in ("first", "second", "file"):
        between.add_argument(name, type=Path)
    between.add_argument(
        "--share", type=float, default=0.5, help="of the second, 0 to 1 (default: %(default)s)"
    )
    apart = commands.add_parser("freeze", help="a model whose encoder trained to its two parts")
    apart.add_argument("model", type=Path, help="published, trained with --unfreeze-vision")
    apart.add_argument("file", metavar="side", type=Path, help="to write, for --side-weights")
    apart.add_argument("encoder", type=Path, help="to write, for --vision-weights")
    args = parser.parse_args(argv)
    if args.command == "restore":
        print(train_command(restore_session(args.file, args.run), args.run))
        return
    if args.command == "mean":
        if not 0 <= args.share <= 1:
            parser.error(f"--share: expected a number from 0 to 1, got {args.share}")
        mean(args.first, args.second, args.file, args.share)
    elif args.command == "freeze":
        freeze(args.model, args.file, args.encoder)
        print(f"{args.encoder}: {args.encoder.stat().st_size / 1e6:.2f} MB")
    else:
        write_file = save_session if args.command == "save" else publish
        write_file(args.run, args.file)
    print(f"{args.file}: {args.file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    sys.exit(main())
