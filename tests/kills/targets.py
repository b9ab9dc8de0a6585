"""The programs that are killed, each on the smallest data that it runs on."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from export.build_engine import main as build_engine
from export.bundle import publish, staging
from sdk import Grounder, Lesson
from sdk._internal.hashing import sha256_file
from sdk.batch import plan
from sdk.bundle.manifest import Manifest
from sdk.cli import main as grounder
from tests.faults.case import expect
from tests.kills.run import Prepare
from tests.pupils import CUP, CUP_BOX
from tests.tiny import tiny_checkpoint, tiny_data, tiny_training
from tests.tiny_bundle import write_tiny_bundle
from train.__main__ import main as train
from train.checkpoint import load_checkpoint
from train.run_state import CHECKPOINT

PICTURES = 12
REPLACEMENTS = 20


@dataclass(frozen=True)
class Build:
    """`export/build_engine.py`, where there is a bundle already."""

    arguments: tuple[str, ...]

    @classmethod
    def prepare(cls, folder: Path) -> "Build":
        checkpoint, data = tiny_checkpoint(folder), tiny_data(folder, own=True)
        vocab = folder / "text-encoder" / "vocab.txt"
        few = ("--precisions=fp32", "--text-precision=fp32", "--eval-photos=2", "--name=new")
        return cls((f"--checkpoint={checkpoint}", f"--data={data}", f"--vocab={vocab}", *few))

    def begin(self, out: Path) -> None:
        write_tiny_bundle(out)

    def run(self, out: Path) -> int:
        return build_engine([*self.arguments, f"--out={out}"])

    def check(self, out: Path) -> None:
        """The bundle that was there, or the new one."""
        expect(_loaded(out).name in ("tiny", "new"), "another bundle")

    def compare(self, out: Path, whole: Path) -> None:
        built, expected = _loaded(out), _loaded(whole)
        expect((built.name, built.graphs) == ("new", expected.graphs), "other graphs")


@dataclass(frozen=True)
class Replacement:
    """One bundle put in the place of another, again and again, as `build_engine` does."""

    bundles: tuple[Path, Path]

    @classmethod
    def prepare(cls, folder: Path) -> "Replacement":
        bundles = folder / "first", folder / "second"
        for path in bundles:
            replace(Manifest.load(write_tiny_bundle(path)), name=path.name).save(path)
        return cls(bundles)

    def begin(self, out: Path) -> None:
        shutil.copytree(self.bundles[0], out)

    def run(self, out: Path) -> int:
        for number in range(REPLACEMENTS):
            with staging(out) as folder:
                new = shutil.copytree(self.bundles[number % 2], folder / "bundle")
                publish(new, out)
        return 0

    def check(self, out: Path) -> None:
        expect(_loaded(out).name in ("first", "second"), "another bundle")

    def compare(self, out: Path, whole: Path) -> None:
        expect(_loaded(out) == _loaded(whole), "the first bundle, not the second")


@dataclass(frozen=True)
class Compile:
    """`grounder compile`, for TensorRT-RTX, which builds without a GPU."""

    bundle: Path

    @classmethod
    def prepare(cls, folder: Path) -> "Compile":
        return cls(write_tiny_bundle(folder / "bundle"))

    def begin(self, out: Path) -> None:
        """An empty folder is made by the command."""

    def run(self, out: Path) -> int:
        command = ["compile", str(self.bundle), "--library", "tensorrt-rtx", "--engines", str(out)]
        return grounder(command)

    def check(self, out: Path) -> None:
        """Every engine that is described is whole: no other one is loaded."""
        for path in out.glob("*.json"):
            described = json.loads(path.read_text())
            if not described["refused"]:
                engine = out / f"{path.stem}.{described['sha256'][:16]}.engine"
                expect(sha256_file(engine) == described["sha256"], f"{engine.name} is damaged")

    def compare(self, out: Path, whole: Path) -> None:
        self.check(out)
        expect(_names(out, "*.json") == _names(whole, "*.json"), "not every graph is compiled")


@dataclass(frozen=True)
class Batch:
    """`grounder batch`, two pictures a part, two workers."""

    bundle: Path
    pictures: Path

    @classmethod
    def prepare(cls, folder: Path) -> "Batch":
        pictures = folder / "pictures"
        pictures.mkdir()
        rng = np.random.default_rng(0)
        for number in range(PICTURES):
            frame = rng.integers(0, 255, (40, 60, 3), np.uint8)
            cv2.imwrite(str(pictures / f"{number}.png"), frame)
        return cls(write_tiny_bundle(folder / "bundle"), pictures)

    def begin(self, out: Path) -> None:
        out.mkdir()

    def run(self, out: Path) -> int:
        plan.PICTURES_PER_PART = 2
        model = ("--bundle", str(self.bundle), "--device", "cpu", "--workers", "2")
        asked = ("--phrase", "the dog", "--out", str(out / "rows.jsonl"))
        return grounder(["batch", str(self.pictures), *asked, *model])

    def check(self, out: Path) -> None:
        """The table is whole or not there, and so is every part."""
        for path in out.rglob("*.jsonl"):
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            whole = PICTURES if path.parent == out else 2
            expect(len(rows) == whole, f"{len(rows)} rows of {whole} in {path.name}")

    def compare(self, out: Path, whole: Path) -> None:
        expect(_names(out) == {"rows.jsonl"}, f"left beside the table: {sorted(_names(out))}")
        tables = [(path / "rows.jsonl").read_bytes() for path in (out, whole)]
        expect(tables[0] == tables[1], "other rows")


@dataclass(frozen=True)
class Teach:
    """`grounder teach`, where there is a lesson already."""

    examples: Path
    before: bytes

    @classmethod
    def prepare(cls, folder: Path) -> "Teach":
        examples = folder / "examples.jsonl"
        example = {"image": str(CUP), "phrase": "zorbl", "box": list(CUP_BOX)}
        examples.write_text(json.dumps(example))
        with Grounder.load(device="cpu", threads=1) as pupil:
            pupil.remember("wug", CUP, CUP_BOX).save(folder / "wug.delta")
        return cls(examples, (folder / "wug.delta").read_bytes())

    def begin(self, out: Path) -> None:
        out.mkdir()
        (out / "lesson.delta").write_bytes(self.before)

    def run(self, out: Path) -> int:
        model = ("--device", "cpu", "--threads", "1")
        return grounder(["teach", str(self.examples), "--out", str(out / "lesson.delta"), *model])

    def check(self, out: Path) -> None:
        """The lesson that was there, or the new one."""
        name = Lesson.load(out / "lesson.delta").name
        expect(name in ("wug", "zorbl"), f"the lesson {name}")

    def compare(self, out: Path, whole: Path) -> None:
        taught = [(path / "lesson.delta").read_bytes() for path in (out, whole)]
        expect(taught[0] == taught[1], "another lesson")


@dataclass(frozen=True)
class Training:
    """`python -m train`: six steps, and the state is written after every second one."""

    arguments: tuple[str, ...]

    @classmethod
    def prepare(cls, folder: Path) -> "Training":
        tiny_data(folder)
        return cls(tuple(tiny_training(folder, 1, "--eval-every", 2)))

    def begin(self, out: Path) -> None:
        """The folder is made by the run."""

    def run(self, out: Path) -> int:
        return train([*self.arguments, "--out", str(out)])

    def check(self, out: Path) -> None:
        if (out / CHECKPOINT).exists():
            load_checkpoint(out / CHECKPOINT)

    def compare(self, out: Path, whole: Path) -> None:
        groups, _, state = load_checkpoint(out / CHECKPOINT)
        expected, _, last = load_checkpoint(whole / CHECKPOINT)
        expect(state == last, f"step {state['step']}, expected {last['step']}")
        for group, tensors in expected.items():
            same = all(torch.equal(groups[group][name], value) for name, value in tensors.items())
            expect(same, f"other values in {group}")


TARGETS: Mapping[str, Prepare] = {
    "build_engine": Build.prepare,
    "replacement": Replacement.prepare,
    "compile": Compile.prepare,
    "batch": Batch.prepare,
    "teach": Teach.prepare,
    "train": Training.prepare,
}


def _loaded(bundle: Path) -> Manifest:
    """Of a bundle that loads and is whole. Raises BundleError."""
    Grounder.load(bundle, device="cpu", threads=1).close()
    manifest = Manifest.load(bundle)
    manifest.verify(bundle)
    return manifest


def _names(folder: Path, pattern: str = "*") -> set[str]:
    return {path.name for path in folder.glob(pattern)}
