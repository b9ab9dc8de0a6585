"""From a bundle's folder to what a `Grounder` is made of."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sdk._internal.arguments import choice
from sdk.backends.fastest import fastest
from sdk.backends.ort import chosen_device
from sdk.backends.select import DEVICES, open_bundle
from sdk.backends.session import Session
from sdk.backends.tensorrt.cache import ENGINES_FOLDER
from sdk.bundle.contract import FUSION, TEXT, GraphSpec, check_graphs
from sdk.bundle.manifest import Manifest
from sdk.bundle.replacement import unreplaced
from sdk.errors import DeviceError
from sdk.lessons.background import Background
from sdk.teaching import Teaching
from sdk.text import Encode, PhraseReader, phrase_encoder

PHRASE_CACHE_SIZE = 256


def open_files(
    folder: Path,
    device: str,
    precision: str,
    threads: int | None,
    engines: Path | None,
    *,
    spelling: bool,
) -> tuple[Manifest, PhraseReader, dict[str, Session], str, Background | None, str]:
    """What `Grounder` takes, from the files of a bundle; see `Grounder.load`."""
    choice("device", device, DEVICES, error=DeviceError)
    with unreplaced(folder):
        manifest = Manifest.load(folder)
        name, reason = manifest.resolve_precision(precision, device)
        if precision == "auto" and chosen_device(device) == "cpu":
            kept_in = engines or folder / ENGINES_FOLDER
            name, reason = fastest(folder, manifest, threads, kept_in)
        files = manifest.graph_files(name)
        beside = manifest.files_beside_graphs
        manifest.verify(folder, [*beside, *(file.file for file in files.values())])
        background = None
        if manifest.teaching_file:
            background = Background.load(folder / manifest.teaching_file)
        reader = PhraseReader.of_bundle(folder, manifest.tokenizer, spelling=spelling)
        sessions = open_bundle(folder, manifest, name, device, threads, engines)
    return manifest, reader, sessions, name, background, reason


class Held(NamedTuple):
    """What a grounder holds until it is closed."""

    sessions: dict[str, Session]
    encode: Encode
    """With a cache."""
    teaching: Teaching


def hold(
    manifest: Manifest,
    reader: PhraseReader,
    sessions: Mapping[str, Session],
    background: Background | None,
) -> Held:
    """What works on open graphs, one per graph of the contract.

    Raises:
        BundleMismatchError: their tensors are not the contract's.
    """
    check_graphs(
        (GraphSpec(name, graph.inputs, graph.outputs) for name, graph in sessions.items()),
        {"H": manifest.preprocess.height, "W": manifest.preprocess.width},
    )
    encode = phrase_encoder(reader, sessions[TEXT.name])
    teaching = Teaching(manifest.source_checkpoint, sessions[FUSION.name], encode, background)
    return Held(dict(sessions), lru_cache(PHRASE_CACHE_SIZE)(encode), teaching)
