"""Compiled engines kept in a folder: each a plan and a JSON file that describes it.

    <bundle>/engines/
        fusion.<key>.<plan>.engine    the plan, named by its own sha256 as well
        fusion.<key>.json             what it was built from and for, and its sha256

The names come from the key, so engines for several devices can lie side by side. Deserialising a
plan runs code: only `EngineCache` makes an `Engine`, from bytes it has checked, and only an
`Engine` is given to TensorRT. The check finds damage, not malice: keep engines as safe as programs.

The plan is written first and its description last, each under a temporary name that is then
renamed. Until the description is there the plan does not count, so neither an interruption nor
several builders at once can pair a description with another plan.
"""

import dataclasses
import hashlib
import json
import re
import secrets
import shlex
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdk._internal.files import TEMPORARY, replace_file
from sdk.backends.tensorrt.engine import Engine, EngineKey, Refusal
from sdk.backends.tensorrt.library import ANY, TENSORRT, TENSORRT_RTX
from sdk.bundle.schema import decode
from sdk.errors import (
    EngineCorruptError,
    EngineError,
    EngineFolderError,
    EngineMismatchError,
    EngineNotFoundError,
)

ENGINES_FOLDER = "engines"
_DAY_SECONDS = 24 * 3600
_PLAN_NAME = re.compile(r"(\w+\.[0-9a-f]{32})\.[0-9a-f]{16}\.engine")
_LABELS = {
    "model_sha256": "sha256 of the graph",
    "profiles": "range of sizes",
    "version": "version of the library",
}


@dataclass(frozen=True)
class _Description:
    """The JSON file. `refused` gives the reason where there is no plan."""

    key: EngineKey
    sha256: str
    bytes: int
    seconds: float
    refused: str


class EngineCache:
    """The engines of a bundle, in its folder `engines` or in one that the caller names."""

    def __init__(self, bundle: Path, precision: str, folder: Path | None = None) -> None:
        """The cache of one bundle.

        Args:
            precision: what a user asks the bundle for; messages say how to compile it.
            folder: None for `engines` in the bundle.
        """
        self.folder = folder or bundle / ENGINES_FOLDER
        self._command = ["grounder", "compile", str(bundle), "--precision", precision]
        if folder is not None:
            self._command += ["--engines", str(folder)]

    def find(self, *keys: EngineKey) -> Engine | Refusal:
        """The engine of the first of these keys that is here, or why there cannot be one.

        Raises:
            EngineNotFoundError: no engine of the graph is here.
            EngineMismatchError: only one for something else is here; the message says what differs.
            EngineCorruptError: the engine is damaged.
            EngineFolderError: a file cannot be read.
        """
        for key in keys:
            try:
                description = self._read(key.stem)
                if description is not None:
                    return self._checked(key, description)
            except (ValueError, FileNotFoundError) as error:
                raise EngineCorruptError(
                    f"the {key.graph} engine {key.stem} in {self.folder} is damaged: {error}; "
                    f"build it again: {self.command(key)}"
                ) from error
            except OSError as error:
                raise EngineFolderError(f"cannot read engines in {self.folder}: {error}") from error
        raise self._missing(keys)

    def store(self, key: EngineKey, plan: bytes, seconds: float) -> Engine:
        """Keep a plan that was just built, in a folder that `prepare` has made.

        Args:
            seconds: that building took.

        Raises:
            EngineFolderError: the folder cannot be written to.
        """
        digest = hashlib.sha256(plan).hexdigest()
        description = _Description(key, digest, len(plan), seconds, refused="")
        path = self._plan_path(description)
        write_file(path, plan)
        self._write(description)
        return Engine(key, plan, path, seconds)

    def refuse(self, key: EngineKey, reason: str) -> Refusal:
        """Remember that there can be no engine of this key.

        Raises:
            EngineFolderError: the folder cannot be written to.
        """
        self._write(_Description(key, sha256="", bytes=0, seconds=0.0, refused=reason))
        return Refusal(key, reason)

    def prepare(self) -> None:
        """Make the folder, and see before a long build that it can be written to.

        What killed builders left there days ago is cleared up.

        Raises:
            EngineFolderError: the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f"{secrets.token_hex(8)}{TEMPORARY}"
            probe.touch()
            probe.unlink()
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError):  # another builder clears up, too
                    if self._is_left_over(path):
                        path.unlink()
        except OSError as error:
            raise _not_writable(self.folder, error) from error

    def command(self, key: EngineKey) -> str:
        """The command line that builds the engine of this key."""
        words = list(self._command)
        if key.library != TENSORRT:
            words += ["--library", key.library]
        if key.library == TENSORRT_RTX and key.compute_capability != ANY:
            words += ["--compute-capability", key.compute_capability]
        if key.version_compatible:
            words += ["--version-compatible"]
        return shlex.join(words)

    def _plan_path(self, description: _Description) -> Path:
        return self.folder / f"{description.key.stem}.{description.sha256[:16]}.engine"

    def _is_left_over(self, path: Path) -> bool:
        """Raises OSError."""
        if time.time() - path.stat().st_mtime < _DAY_SECONDS:
            return False
        if path.suffix == TEMPORARY:
            return True
        name = _PLAN_NAME.fullmatch(path.name)
        try:
            description = self._read(name[1]) if name else None
        except ValueError:
            return False  # damaged, or of another version of grounder
        return name is not None and (description is None or self._plan_path(description) != path)

    def _read(self, stem: str) -> _Description | None:
        """Raises ValueError, naming what is wrong, and OSError."""
        try:
            text = (self.folder / f"{stem}.json").read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return decode(_Description, json.loads(text))
        except RecursionError as error:
            raise ValueError("the description is nested too deeply") from error

    def _write(self, description: _Description) -> None:
        text = json.dumps(dataclasses.asdict(description), indent=2)
        write_file(self.folder / f"{description.key.stem}.json", f"{text}\n".encode())

    def _checked(self, key: EngineKey, description: _Description) -> Engine | Refusal:
        """Raises ValueError, OSError."""
        if description.key != key:
            raise ValueError("its description speaks of another engine")
        if description.refused:
            return Refusal(key, description.refused)
        path = self._plan_path(description)
        plan = path.read_bytes()
        if len(plan) != description.bytes:
            raise ValueError(f"expected {description.bytes} bytes, got {len(plan)}")
        digest = hashlib.sha256(plan).hexdigest()
        if digest != description.sha256:
            raise ValueError(f"expected sha256 {description.sha256}, got {digest}")
        return Engine(key, plan, path, description.seconds)

    def _missing(self, keys: tuple[EngineKey, ...]) -> EngineError:
        """No key is here: name the engine that comes nearest to one."""
        graph, precision = keys[0].graph, keys[0].precision
        near: list[tuple[list[str], EngineKey]] = []
        for path in sorted(self.folder.glob(f"{graph}.*.json")):
            with suppress(ValueError, OSError):
                description = self._read(path.stem)
                if description is None or description.refused or description.key in keys:
                    continue  # one of `keys` now: another builder has just ended
                near += [(_differences(description.key, key), key) for key in keys]
        if near:
            differences, key = min(near, key=lambda item: len(item[0]))
            return EngineMismatchError(
                f"the {graph} engine in {self.folder} was built for something else: "
                f"{'; '.join(differences)}; build another: {self.command(key)}"
            )
        return EngineNotFoundError(
            f"the {graph} graph at {precision} has not been compiled into {self.folder}; build "
            f"the engine: {min(map(self.command, keys), key=len)}"
        )


def write_file(path: Path, data: bytes) -> None:
    """Replace a file in one step: whatever happens, it is the old one or the new one.

    Raises:
        EngineFolderError: it cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        raise _not_writable(path.parent, error) from error


def _not_writable(folder: Path, error: OSError) -> EngineFolderError:
    return EngineFolderError(
        f"cannot write engines to {folder}: {error}; make room there or name another folder "
        "with --engines"
    )


def _differences(built: EngineKey, wanted: EngineKey) -> list[str]:
    """One item per field that differs, as "device: built for A, here B"."""
    items = []
    for field in dataclasses.fields(EngineKey):
        was, now = getattr(built, field.name), getattr(wanted, field.name)
        if was != now:
            label = _LABELS.get(field.name, field.name.replace("_", " "))
            items.append(f"{label}: built for {was}, here {now}")
    return items
