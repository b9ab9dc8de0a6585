"""From a bundle's folder to what a `Grounder` is made of."""

from pathlib import Path
from typing import NamedTuple

from sdk._internal.arguments import choice
from sdk.backends.select import DEVICES, open_bundle
from sdk.backends.session import Session
from sdk.bundle.known_words import KnownWords
from sdk.bundle.manifest import Manifest
from sdk.bundle.replacement import unreplaced
from sdk.bundle.spelling import Speller
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.errors import DeviceError
from sdk.lessons.background import Background


class Parts(NamedTuple):
    """What `Grounder` takes."""

    manifest: Manifest
    tokenizer: WordPieceTokenizer
    sessions: dict[str, Session]
    precision: str
    speller: Speller | None
    known_words: KnownWords | None
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
        spec = manifest.tokenizer
        beside = manifest.files_beside_graphs
        manifest.verify(folder, [*beside, *(file.file for file in files.values())])
        speller = known_words = background = None
        if manifest.teaching_file:
            background = Background.load(folder / manifest.teaching_file)
        if spec.words_file:
            lists = folder / spec.words_file, folder / spec.vocab_file
            known_words = KnownWords.from_files(*lists)
            speller = Speller.from_files(*lists) if spelling else None
        tokenizer = WordPieceTokenizer.from_file(folder / spec.vocab_file, spec.max_tokens)
        sessions = open_bundle(folder, manifest, name, device, threads, engines)
    return Parts(manifest, tokenizer, sessions, name, speller, known_words, background)
