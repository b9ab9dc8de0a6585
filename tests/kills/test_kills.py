"""A few kills of each program, and that the tool which kills them sees what is half-written."""

import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults.case import expect

if sys.platform == "win32":
    pytest.skip("no SIGKILL on Windows", allow_module_level=True)

from tests.kills.run import run_kills
from tests.kills.targets import TARGETS

KILLS = {"replacement": 6, "compile": 2, "batch": 2, "teach": 2, "train": 3}
"""A build takes too long here; tests/export/test_build_engine.py kills one."""


@pytest.mark.parametrize("name", KILLS)
def test_nothing_half_written_is_loaded_and_the_next_run_goes_on(name: str) -> None:
    if name == "compile" and not find_spec("tensorrt_rtx"):
        pytest.skip("TensorRT-RTX is not installed")
    tally = run_kills(TARGETS[name], KILLS[name], seed=1)
    assert tally.wrong == []
    assert tally.kills == KILLS[name] and tally.finished


@dataclass(frozen=True)
class Careless:
    """Writes under the final name, a byte at a time, and takes what is there for whole."""

    @classmethod
    def prepare(cls, folder: Path) -> "Careless":
        return cls()

    def begin(self, out: Path) -> None:
        out.mkdir()

    def run(self, out: Path) -> int:
        with (out / "file").open("ab", buffering=0) as file:
            for _ in range(20):
                file.write(b"x")
                time.sleep(0.1)  # far longer in all than a process takes to start
        return 0

    def check(self, out: Path) -> None:
        path = out / "file"
        expect(not path.exists() or path.stat().st_size == 20, "half-written")

    def compare(self, out: Path, whole: Path) -> None:
        sizes = {(path / "file").stat().st_size for path in (out, whole)}
        expect(sizes == {20}, "written twice")


def test_the_tool_sees_what_is_half_written() -> None:
    tally = run_kills(Careless.prepare, 6, seed=0)
    assert tally.kills == 6 and tally.finished
    assert any("half-written" in wrong for wrong in tally.wrong)
    assert any("written twice" in wrong for wrong in tally.wrong)
