"""The work folder: finished parts, and what they were made with.

results.parquet.work/
    run.json              phrases, model and options
    3f2a...jsonl          rows of a finished part
    9c01...errors.jsonl   rows of one with errors, which the next run does again
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sdk._internal.extras import missing
from sdk._internal.files import remove_unfinished, replace_file
from sdk.batch.plan import Part
from sdk.batch.rows import Row, as_line, as_row
from sdk.batch.table import write_table
from sdk.errors import GroundingError

RUN_FILE, LOCK_FILE = "run.json", "run.lock"


class WorkFolder:
    """The folder beside a result, named after it."""

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(f"{out.name}.work")
        self._out = out

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other runs out; a run that dies lets go.

        Raises:
            GroundingError: another run is in, or the folder cannot be used.
            DependencyError: filelock does not import.
        """
        try:
            filelock: Any = import_module("filelock")
        except ImportError as error:
            raise missing("batch", error) from error
        try:
            self.path.mkdir(exist_ok=True)
            lock = filelock.FileLock(self.path / LOCK_FILE)
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise GroundingError(
                f"another run is writing {self._out}: wait for it, or give another --out"
            ) from error
        except OSError as error:
            raise GroundingError(f"cannot use the work folder {self.path}: {error}") from error
        try:
            yield
        finally:
            lock.release()

    def open(self, settings: Mapping[str, Any]) -> None:
        """Note the settings in the folder, or compare them with those that are noted.

        Args:
            settings: what decides about the rows, of JSON's types.

        Raises:
            GroundingError: the folder's settings are others, or it cannot be used.
        """
        run = self.path / RUN_FILE
        try:
            self.path.mkdir(exist_ok=True)
            if not run.exists():
                replace_file(run, (json.dumps(settings, indent=1) + "\n").encode())
                return
            if not run.is_file():  # a pipe would block for ever
                raise ValueError(f"{RUN_FILE} is no file")
            before = json.loads(run.read_text(encoding="utf-8"))
            if not isinstance(before, dict):
                raise ValueError(f"expected {RUN_FILE} to hold an object")
        except (OSError, ValueError, RecursionError) as error:
            raise GroundingError(f"cannot use the work folder {self.path}: {error}") from error
        changed = [
            f"{name} {before.get(name)} -> {settings.get(name)}"
            for name in {**before, **settings}
            if before.get(name) != settings.get(name)
        ]
        if changed:
            raise GroundingError(
                f"expected to go on with what is in {self.path}, but it was made with other "
                f"settings: {'; '.join(changed)}. Take those again, give another --out, or start "
                f"over: rm -r {self.path}"
            )

    def is_done(self, part: Part) -> bool:
        """Whether its rows are there, without errors."""
        return self._file(part, complete=True).is_file()

    def write(self, part: Part, rows: Sequence[Row]) -> list[str]:
        """Keep the rows of a part. With errors among them, it is not done.

        Returns:
            The errors, with their sources.

        Raises:
            GroundingError: the rows cannot be written.
        """
        errors = [f"{row['source']}: {row['error']}" for row in rows if row["error"] is not None]
        path = self._file(part, complete=not errors)
        try:
            replace_file(path, "".join(map(as_line, rows)).encode())
        except OSError as error:
            raise GroundingError(f"cannot write {path}: {error}") from error
        return errors

    def merge(self, parts: Sequence[Part]) -> int:
        """Write the result, the parts in their order.

        Returns:
            The number of its rows.

        Raises:
            GroundingError: it cannot be written; an older result is as it was.
        """
        try:
            remove_unfinished(self._out)  # the lock lets no other run write it
            return write_table(self._out, self._rows(parts))
        except OSError as error:
            raise GroundingError(f"cannot write {self._out}: {error}") from error
        except (ValueError, RecursionError) as error:  # of JSON, and pyarrow's of other types
            raise GroundingError(
                f"a part in {self.path} is damaged: {error}; start over: rm -r {self.path}"
            ) from error

    def remove(self) -> None:
        """Once the result is there. The parts go first: without run.json they would fit any run."""
        for part in self.path.glob("*.jsonl"):
            part.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def _rows(self, parts: Sequence[Part]) -> Iterator[Row]:
        for part in parts:
            with self._file(part, complete=self.is_done(part)).open("rb") as file:
                yield from map(as_row, file)

    def _file(self, part: Part, *, complete: bool) -> Path:
        return self.path / f"{part.key}{'' if complete else '.errors'}.jsonl"
