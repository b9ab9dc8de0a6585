"""`grounder batch` as a command: with workers as without, after a kill, and what it refuses."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest

from sdk import Grounder
from sdk.cli import main
from tests.batches import ASSETS, MODEL, PHRASES, rows_of
from tests.paths import ROOT
from tests.waiting import WAIT

pytest_plugins = ["tests.batches"]


@pytest.fixture(scope="module")
def grounder() -> Grounder:
    return MODEL.load()


def batch(*arguments: object) -> int:
    """As on the command line; the exit code."""
    try:
        return main(["batch", *map(str, arguments)])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


def asked(phrases: list[str]) -> list[str]:
    return [word for phrase in phrases for word in ("--phrase", phrase)]


def expected_row(source: Path, frame: int, time_s: float | None, result: Any, rank: int) -> Any:
    place = list(result.places())[rank]
    box = dict(zip(("left", "top", "right", "bottom"), place.box, strict=True))
    found = {"score": place.score, "found": rank < len(result.instances), "error": None}
    row = {"source": str(source), "frame": frame, "time_s": time_s, "phrase": result.text}
    return {**row, "rank": rank, **box, **found}


def expected_rows(grounder: Grounder, lake: Path, every: int) -> list[dict[str, Any]]:
    """Of what can be read, by the Grounder alone."""
    shots: list[tuple[Path, int, float | None, Any]] = [
        (lake / name, 0, None, str(lake / name)) for name in ("2.jpg", "10.jpg", "deep/1.JPG")
    ]
    capture = cv2.VideoCapture(str(lake / "walk.mp4"))
    for number in range(30):
        got, frame = capture.read()
        assert got
        if number % every == 0:
            shots.append((lake / "walk.mp4", number, number / 25, frame))
    return [
        expected_row(source, number, time_s, result, rank)
        for source, number, time_s, frame in shots
        for result in grounder.ground(frame, PHRASES, alternatives=1)
        for rank in range(len(list(result.places())))
    ]


def kill_a_worker(work: Path, killed: list[int]) -> None:
    """As soon as there is a finished part."""
    wait_for(lambda: any(work.glob("*.jsonl")))
    children = psutil.Process().children(recursive=True)
    worker = next(child for child in children if "spawn_main" in " ".join(child.cmdline()))
    worker.kill()
    killed.append(worker.pid)


def test_any_number_of_workers_gives_what_the_grounder_gives(
    grounder: Grounder,
    lake: Path,
    tmp_path: Path,
    small_parts: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also as Parquet, also with a worker killed in the middle."""
    options = [lake, *asked(PHRASES), "--every", 3, "--alternatives", 1]
    assert batch(*options, "--out", tmp_path / "one.parquet", "--workers", 1) == 1
    killed: list[int] = []
    work = tmp_path / "two.jsonl.work"
    killer = threading.Thread(target=kill_a_worker, args=(work, killed), daemon=True)
    killer.start()
    assert batch(*options, "--out", tmp_path / "two.jsonl", "--workers", 2) == 1
    killer.join(WAIT)
    assert len(killed) == 1

    one, two = rows_of(tmp_path / "one.parquet"), rows_of(tmp_path / "two.jsonl")
    assert one == two
    assert [list(row) for row in one] == [list(row) for row in two]
    expected = expected_rows(grounder, lake, every=3)
    assert [row for row in two if row["error"] is None] == expected
    failed = [row for row in two if row["error"] is not None]
    assert [row["source"] for row in failed] == [str(lake / "3.png"), str(lake / "broken.mov")]
    assert two.index(failed[0]) == 4 * 1, "between 2.jpg and 10.jpg"
    assert all(row[name] is None for row in failed for name in list(row)[3:-1])
    printed = capsys.readouterr()
    assert f"{len(two)} rows of 6 files" in printed.out
    assert "errors, a row each: 2" in printed.err and "broken.mov: expected a video" in printed.err


COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from sdk.batch import plan
plan.PICTURES_PER_PART = 2
if __name__ == "__main__":
    from sdk.cli import main
    sys.exit(main())
"""


def test_a_killed_run_goes_on_where_it_was(
    grounder: Grounder,
    tmp_path: Path,
    small_parts: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for number in range(20):
        shutil.copy(ASSETS / ("cat.jpg" if number % 2 else "stairs.jpg"), shots / f"{number}.jpg")
    out, work = tmp_path / "out.jsonl", tmp_path / "out.jsonl.work"
    options = [shots, "--phrase", "the cat", "--out", out]
    command = [sys.executable, "-c", COMMAND, str(ROOT), "batch", *map(str, options)]
    with subprocess.Popen([*command, "--workers", "2"]) as process:
        wait_for(lambda: process.poll() is not None or len(list(work.glob("*.jsonl"))) >= 2)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert psutil.wait_procs(workers, WAIT)[1] == [], "they end with it"
    done = sorted(work.glob("*.jsonl"))
    assert not out.exists() and 2 <= len(done) < 10
    for part in done:  # what nothing else would write
        part.write_text(part.read_text().replace('"score": 0.', '"score": 10.'))

    assert batch(*options[:1], "--phrase", "a dog", "--out", out) == 2
    assert "['the cat'] -> ['a dog']" in capsys.readouterr().err
    assert batch(*options, "--workers", 1) == 0
    assert f"going on: {len(done)} of 10 parts" in capsys.readouterr().err
    rows = rows_of(out)
    assert [row["source"] for row in rows] == [str(shots / f"{number}.jpg") for number in range(20)]
    assert sum(row["score"] > 1 for row in rows) == 2 * len(done)
    truth = [grounder.ground(ASSETS / name, "the cat").score for name in ("stairs.jpg", "cat.jpg")]
    assert all(row["score"] in (truth[i % 2], 10 + truth[i % 2]) for i, row in enumerate(rows))
    assert not work.exists()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_item_that_kills_its_workers_is_given_up() -> None:
    from sdk.batch.workers import Done, run_lanes

    lanes = [[signal.SIGURG, signal.SIGKILL, signal.SIGURG], [signal.SIGURG]]
    done = list(run_lanes(lanes, raised, 2))
    assert sorted(done) == [
        Done(signal.SIGKILL, None),
        *[Done(signal.SIGURG, "survived")] * 3,
    ]


def raised(item: signal.Signals) -> str:
    signal.raise_signal(item)
    return "survived"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{lake}", "--phrase", "?", "--out", "a.jsonl"], "letter"),
        (["{lake}", "--phrase", "a", "--out", "a.csv"], "a.csv"),
        (["{lake}", "--phrase", "a", "--out", "no/a.jsonl"], "no/a.jsonl"),
        (["{lake}", "--phrase", "a", "--out", "a.jsonl", "--workers", "0"], "0"),
        (["{lake}", "--phrase", "a", "--out", "a.jsonl", "--every", "0"], "--every"),
        (["{lake}", "--phrase", "a", "--out", "a.jsonl", "--fps", "nan"], "--fps"),
        (["{lake}", "--phrase", "a", "--out", "a.jsonl", "--alternatives", "-1"], "alternatives"),
        (["nothing", "--phrase", "a", "--out", "a.jsonl"], "'nothing', which does not exist"),
        (["{lake}", "--phrase", "a", "--out", "a.jsonl", "--bundle", "no"], "bundle"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    arguments: list[str],
    complaint: str,
    lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert batch(*(argument.format(lake=lake) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and complaint in error
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


@pytest.mark.parametrize(
    ("package", "out"),
    [("filelock", "a.jsonl"), ("pyarrow", "a.parquet")],
)
def test_a_missing_package_is_told(
    package: str,
    out: str,
    lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    assert batch(lake, "--phrase", "a dog", "--out", tmp_path / out) == 2
    error = capsys.readouterr().err
    assert f"pip install {package}" in error
