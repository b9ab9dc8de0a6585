"""Writing a bundle folder: all of it or nothing."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from export.plan import PRIOR_NAME, VOCAB_NAME, WORDS_NAME, Inputs, Plan
from sdk._internal.hashing import sha256_file
from sdk.bundle.calibration import IDENTITY
from sdk.bundle.manifest import Encoders, GraphFile, Manifest
from sdk.bundle.tokenizer import TokenizerSpec
from train.build import COMPACT, MAX_TOKENS, preprocess_for
from train.config import TrainConfig

GraphPaths = Mapping[str, Mapping[str, Path]]
"""Graph name -> precision -> ONNX file."""

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`, gone afterwards whatever happens."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        yield Path(folder)


def publish(folder: Path, out: Path) -> None:
    """Put the finished `folder`, inside `staging`, in the place of `out`, which goes with the rest.

    On Linux at every moment one of the two is there. Elsewhere, and on file systems that cannot
    exchange, a process that is killed between two renames leaves the old one in the staging folder.
    """
    folder.chmod(0o755)
    if not out.exists():
        os.replace(folder, out)
    elif not _exchanged(folder, out):
        old = folder.with_name(f"{folder.name}-old")
        os.replace(out, old)
        try:
            os.replace(folder, out)
        except OSError:
            os.replace(old, out)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2  # of glibc from 2.28 on, and musl
    except (AttributeError, OSError, TypeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def write_bundle(
    folder: Path,
    plan: Plan,
    inputs: Inputs,
    graphs: GraphPaths,
    precisions: Mapping[str, Mapping[str, str]],
) -> Manifest:
    """Copy the files into the new `folder` and save a manifest: everything is found so far.

    The first of `precisions` is the default.
    """
    folder.mkdir()
    shutil.copyfile(plan.vocab, folder / VOCAB_NAME)
    (folder / WORDS_NAME).write_text("\n".join([*inputs.words, ""]), encoding="utf-8")
    tokenizer = TokenizerSpec(VOCAB_NAME, MAX_TOKENS, WORDS_NAME)
    if inputs.prior:
        pairs = inputs.prior.pairs
        (folder / PRIOR_NAME).write_bytes(pairs.encoded())
        tokenizer = replace(tokenizer, prior_file=PRIOR_NAME, prior_tokens=pairs.max_tokens)
    manifest = Manifest(
        name=plan.name,
        method=inputs.config.method,
        encoders=encoder_names(inputs.config),
        preprocess=preprocess_for(inputs.config),
        tokenizer=tokenizer,
        graphs={
            graph: {
                precision: _copied(path, folder / f"{graph}.{precision}.onnx")
                for precision, path in files.items()
            }
            for graph, files in graphs.items()
        },
        precisions=precisions,
        default_precision=next(iter(precisions)),
        files={name: sha256_file(folder / name) for name in tokenizer.files},
        calibration=IDENTITY,
        threshold=0.0,
        instance_threshold=0.0,
        metrics={},
        source_checkpoint=inputs.checkpoint_sha256,
        licence=plan.licence,
        training_data=plan.training_data,
    )
    manifest.save(folder)
    return manifest


def _copied(source: Path, target: Path) -> GraphFile:
    shutil.copyfile(source, target)
    return GraphFile(target.name, sha256_file(target), target.stat().st_size)


def encoder_names(config: TrainConfig) -> Encoders:
    """Names for people; of a local folder only its last part."""
    text = "all-MiniLM-L6-v2" if config.text == "minilm" else Path(config.text).name
    vision = "ESNet with CSP-PAN" if config.vision == COMPACT else Path(config.vision).name
    return Encoders(f"{vision} at {config.image_size} px", text)
