"""From a bundle's folder to what a `Grounder` is made of."""

from pathlib import Path
from typing import NamedTuple

from sdk._internal.arguments import choice
from sdk.backends.select import DEVICES, open_bundle
from sdk.backends.session import Session
from sdk.bundle.manifest import Manifest
from sdk.bundle.replacement import unreplaced
from sdk.errors import DeviceError
from sdk.lessons.background import Background
from sdk.text import PhraseReader


class Parts(NamedTuple):
    """What `Grounder` takes."""

    manifest: Manifest
    reader: PhraseReader
    sessions: dict[str, Session]
    precision: str
    background: Background | None


def open_parts(
    folder: Path,
    device: str,
    precision: str,
    threads: int | None,
    engines: Path | None,
    *,
    spelling: bool,
) -> Parts:
    """Open the files of a bundle, checked against their hashes; see `Grounder.load`."""
    choice("device", device, DEVICES, error=DeviceError)
    with unreplaced(folder):
        manifest = Manifest.load(folder)
        name = manifest.resolve_precision(precision, device)
        files = manifest.graph_files(name)
        beside = manifest.files_beside_graphs
        manifest.verify(folder, [*beside, *(file.file for file in files.values())])
        background = None
        if manifest.teaching_file:
            background = Background.load(folder / manifest.teaching_file)
        reader = PhraseReader.of_bundle(folder, manifest.tokenizer, spelling=spelling)
        sessions = open_bundle(folder, manifest, name, device, threads, engines)
    return Parts(manifest, reader, sessions, name, background)
