"""Pages of docs/ as programs: their blocks are run in order, and what they print is compared.

    ```python           in one namespace a page
    ```sh               by bash
    ```text             right after one of them: what it prints
    <!-- slow -->       on the line before: minutes. The tests only see that it would be understood

All blocks of a page run in one folder with `apps/`, `export/` and `train/` in it. After a change
that shows, `python -m tests.doc_pages docs/tutorials/*.md` runs all of it, the slow blocks too, and
writes the outputs and the pictures that the pages show anew.
"""

import argparse
import contextlib
import doctest
import io
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT
from tests.waiting import WAIT, run_process

BLOCK = re.compile(
    r"^(?P<slow><!-- slow -->\n)?```(?P<kind>python|sh)\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<printed>.*?)^```\n)?",
    re.M | re.S,
)
PICTURE = re.compile(r"!\[[^\]]*\]\((\.\./images/(\S+))\)")
DECIMAL = re.compile(r"-?\d+\.(\d+)")


@dataclass(frozen=True)
class Block:
    """One runnable block of a page."""

    kind: str
    """ "python" or "sh"."""
    code: str
    slow: bool
    printed: str | None
    """What the page says that it prints; None when it does not say."""
    place: str
    """Page and line, as errors name them."""


def blocks(page: Path) -> list[Block]:
    """The runnable blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            kind=found["kind"],
            code=found["code"],
            slow=found["slow"] is not None,
            printed=found["printed"],
            place=f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start('code')) + 1}",
        )
        for found in BLOCK.finditer(text)
    ]


SLOW_SECONDS = 3600.0
"""For a block that takes minutes."""


class PageRun:
    """The state that the blocks of one page share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where they run, and write to."""
        self.names: dict[str, Any] = {}
        """What the Python blocks have defined."""
        for name in ("apps", "export", "train"):
            (folder / name).symlink_to(ROOT / name)
        self._commands = folder / ".commands"
        self._commands.mkdir()
        self._command("python", f'exec {shlex.quote(sys.executable)} "$@"')
        self._command(
            "grounder",
            f"exec {shlex.quote(sys.executable)} -c "
            "'import sys; from sdk.cli import main; sys.exit(main())' \"$@\"",
        )

    def _command(self, name: str, script: str) -> None:
        path = self._commands / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, block: Block) -> str:
        """Run a block in the folder; returns what it prints."""
        return self._run_sh(block) if block.kind == "sh" else self._run_python(block)

    def _run_python(self, block: Block) -> str:
        printed = io.StringIO()
        code = compile(block.code, block.place, "exec")
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.chdir(self.folder)
            exec(code, self.names)
        return printed.getvalue()

    def _run_sh(self, block: Block) -> str:
        path = f"{self._commands}{os.pathsep}{os.environ['PATH']}"
        done = run_process(
            ["bash", "-euo", "pipefail", "-c", block.code],
            SLOW_SECONDS if block.slow else WAIT,
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, f"{block.place} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout


def prints_as_shown(shown: str, printed: str) -> bool:
    """Whether `printed` is `shown`, where "..." stands for anything and spaces count as one.

    Numbers with a decimal point may differ by three units of the last digit that is shown, or by
    2%: another processor, or a build of ONNX Runtime, rounds elsewhere.
    """
    for expected, got in zip(DECIMAL.finditer(shown), DECIMAL.finditer(printed), strict=False):
        value = float(expected[0])
        room = max(3 * 10.0 ** -len(expected[1]), 0.02 * abs(value))
        if abs(float(got[0]) - value) > 1.0001 * room:
            return False
    plain = (DECIMAL.sub("0.0", text) for text in (shown, printed))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(*plain, flags)


class _Understood(BaseException):
    """The command line went through the program's own parser."""


def commands(block: Block) -> Iterator[list[str]]:
    """The command lines of a shell block, as lists of words; of a pipe the first one."""
    for line in block.code.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield list(takewhile(lambda word: word not in ("|", ">", "2>"), words))


def check_command(words: list[str]) -> None:
    """Have the real program parse a command line, and stop there. Raises SystemExit if it can't."""
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        parse(self, *args, **kwargs)
        raise _Understood

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(_Understood):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        match words:
            case ["grounder", *arguments]:
                from sdk.cli import main

                main(arguments)
            case ["python", "-m", module, *arguments]:
                patch.setattr(sys, "argv", [module, *arguments])
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case ["python", script, *arguments]:
                patch.setattr(sys, "argv", [script, *arguments])
                runpy.run_path(str(ROOT / script), run_name="__main__")
        raise AssertionError(f"no program of ours parsed: {shlex.join(words)}")


def rewrite(page: Path) -> None:
    """Run everything on the page, and put what it prints and draws now into docs/."""
    with tempfile.TemporaryDirectory() as folder:
        run = PageRun(Path(folder))
        printed = {}
        for block in blocks(page):
            print(block.place, flush=True)
            printed[block.code] = run.run(block)
        text = page.read_text(encoding="utf-8")

        def anew(found: re.Match[str]) -> str:
            if found["printed"] is None:
                return found[0]
            head = found[0][: found.start("printed") - found.start()]
            return f"{head}{printed[found['code']]}```\n"

        page.write_text(BLOCK.sub(anew, text), encoding="utf-8")
        for link, name in PICTURE.findall(text):
            shutil.copy(run.folder / name, page.parent / link)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        rewrite(Path(argument).resolve())
