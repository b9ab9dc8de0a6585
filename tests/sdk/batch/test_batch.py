"""`grounder batch`: with workers as without, after a kill, and with files that cannot be read."""

import dataclasses
import json
import os
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
import numpy as np
import pytest

from sdk import Grounder, GroundingError, PhraseError, SourceError
from sdk.batch import plan
from sdk.batch.folder import BatchMismatchError, WorkFolder
from sdk.batch.video import Sampling, VideoReader
from sdk.batch.worker import Job, Model, give_up, ground_part
from sdk.cli import main
from tests.paths import ROOT

psutil = pytest.importorskip("psutil", reason="comes with the extra `offline`")
pytest.importorskip("distributed", reason="of the extra `offline`")

ASSETS = ROOT / "apps" / "assets"
MODEL = Model(bundle=None, device="cpu", precision="auto", threads=1, engines=None)
PHRASES = ["the cat", "a man"]
WAIT = 120  # seconds; only a failure takes so long


@pytest.fixture(scope="module")
def grounder() -> Grounder:
    return MODEL.load()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PICTURES_PER_PART", 2)
    monkeypatch.setattr(plan, "FRAMES_PER_PART", 8)


def save_video(path: Path, frames: int) -> None:
    """25 frames a second; in each one, a photo is moved by another two pixels."""
    photo = cv2.resize(cv2.imread(str(ASSETS / "cat.jpg")), (160, 120))
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (160, 120))
    for number in range(frames):
        writer.write(np.roll(photo, 2 * number, axis=1))
    writer.release()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three photos, one of them in a deeper folder, a picture that is none, and two videos."""
    folder = tmp_path / "lake"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(ASSETS / "cat.jpg", folder / "10.jpg")
    shutil.copy(ASSETS / "stairs.jpg", folder / "2.jpg")
    shutil.copy(ASSETS / "moose.jpg", folder / "deep" / "1.JPG")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "notes.md").write_text("neither")
    save_video(folder / "walk.mp4", 30)
    (folder / "broken.mov").write_bytes(b"no video")
    return folder


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


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


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    folder = WorkFolder(tmp_path / "rows.jsonl")
    folder.open({"phrases": PHRASES})
    return folder


def job_for(sampling: Sampling) -> Job:
    return Job(MODEL, tuple(PHRASES), 0, sampling)


@pytest.mark.parametrize("sampling", [Sampling(every=2), Sampling(fps=10)])
def test_parts_of_a_video_are_the_whole(
    sampling: Sampling,
    tmp_path: Path,
    work: WorkFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In any order, and so by any worker."""
    save_video(tmp_path / "a.mp4", 24)
    (whole,) = plan.cut([str(tmp_path / "a.mp4")], sampling)
    assert ground_part(job_for(sampling), work, whole) == []
    work.merge([whole])
    expected = rows_of(tmp_path / "rows.jsonl")
    monkeypatch.setattr(plan, "FRAMES_PER_PART", 3)
    parts = list(plan.cut([str(tmp_path / "a.mp4")], sampling))
    assert len(parts) >= 3
    for part in [*parts[2:], *parts[:2]]:
        assert ground_part(job_for(sampling), work, part) == []
    work.merge(parts)
    assert rows_of(tmp_path / "rows.jsonl") == expected
    assert sum(part.frames for part in parts) in range(len(expected) // 2, len(expected) // 2 + 4)
    frames = [row["frame"] for row in expected[::2]]
    if sampling.fps is None:
        assert frames == list(range(0, 24, 2))
    else:  # the first frame at or after each tenth of a second
        assert frames == [-(-5 * n // 2) for n in range(10)]


def test_every_frame_of_a_video_slower_than_asked(tmp_path: Path) -> None:
    save_video(tmp_path / "a.avi", 50)
    for fps in (25, 1000):
        with VideoReader(str(tmp_path / "a.avi")) as reader:
            sampling = Sampling(fps=fps)
            taken = 0
            while reader.advance():
                taken += sampling.takes(reader.number, reader.time_s, reader.before_s)
        assert taken == 50


def test_a_video_that_is_cut_off_has_one_row_that_says_so(
    tmp_path: Path, work: WorkFolder, small_parts: None
) -> None:
    path = tmp_path / "a.avi"
    save_video(path, 100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    job = job_for(Sampling(every=5))
    parts = list(plan.cut([str(path)], job.sampling))
    assert len(parts) == 3
    problems = [ground_part(job, work, part) for part in parts]
    assert [len(some) for some in problems] == [0, 1, 0]
    work.merge(parts)
    *rows, last = rows_of(tmp_path / "rows.jsonl")
    assert "of 100 that its header announces" in last["error"]
    assert 40 < last["frame"] < 60
    best = [row["frame"] for row in rows if row["rank"] == 0]  # one for each of two phrases
    assert best[::2] == best[1::2] == list(range(0, last["frame"], 5))


def test_a_part_that_was_given_up_has_a_row_for_each_file(
    tmp_path: Path, work: WorkFolder, lake: Path
) -> None:
    part, *_ = plan.cut(plan.find_files([str(lake)]), Sampling())
    assert len(give_up(work, part, 3)) == 4
    assert not work.is_done(part)
    assert work.merge([part]) == 4
    assert "3 worker processes died" in rows_of(tmp_path / "rows.jsonl")[3]["error"]


def test_a_part_is_known_by_its_files(lake: Path) -> None:
    paths = plan.find_files([str(lake)])
    keys = [part.key for part in plan.cut(paths, Sampling())]
    assert keys == [part.key for part in plan.cut(paths, Sampling())]
    assert len(set(keys)) == len(keys) == 3
    os.utime(lake / "10.jpg", (1, 1))
    changed = [part.key for part in plan.cut(paths, Sampling())]
    assert [new == old for new, old in zip(changed, keys, strict=True)] == [False, True, True]


def test_pictures_first_in_natural_order_and_each_once(lake: Path, tmp_path: Path) -> None:
    names = ["2.jpg", "3.png", "10.jpg", "deep/1.JPG", "broken.mov", "walk.mp4"]
    assert plan.find_files([str(lake), str(lake / "10.jpg")]) == [str(lake / n) for n in names]
    assert plan.find_files([str(lake / "walk.mp4"), str(lake / "*.jpg")]) == [
        str(lake / name) for name in ("walk.mp4", "2.jpg", "10.jpg")
    ]
    assert plan.find_files([str(lake / "**" / "1.*")]) == [str(lake / "deep" / "1.JPG")]
    listed = tmp_path / "list.txt"
    listed.write_text(f"{lake / '10.jpg'}\n\n  gone.jpg\n")
    assert plan.find_files([str(listed)]) == [str(lake / "10.jpg"), "gone.jpg"]


def test_what_is_listed_and_gone_is_a_row(work: WorkFolder, tmp_path: Path) -> None:
    (part,) = plan.cut(["gone.jpg"], Sampling())
    (problem,) = ground_part(job_for(Sampling()), work, part)
    assert problem.startswith("gone.jpg: expected the path of a picture")


def test_a_name_that_is_no_text(work: WorkFolder, tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b"\xff.jpg")
    shutil.copy(ASSETS / "cat.jpg", name)
    (part,) = plan.cut(plan.find_files([str(tmp_path)]), Sampling())
    assert ground_part(job_for(Sampling()), work, part) == []
    work.merge([part])
    assert {row["source"] for row in rows_of(tmp_path / "rows.jsonl")} == {f"{tmp_path}/\\xff.jpg"}


def test_a_video_whose_name_is_no_text_is_a_row(work: WorkFolder, tmp_path: Path) -> None:
    """OpenCV would end the process."""
    save_video(tmp_path / "walk.mp4", 3)
    os.rename(tmp_path / "walk.mp4", tmp_path / os.fsdecode(b"\xff.mp4"))
    (part,) = plan.cut(plan.find_files([str(tmp_path)]), Sampling())
    (problem,) = ground_part(job_for(Sampling()), work, part)
    assert problem.endswith("rename it") and "\\xff.mp4" in problem


def test_lists_of_other_systems_and_addresses_in_them(work: WorkFolder, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfa.jpg\r\nrtsp://127.0.0.1:9/a.mp4\r\n")
    assert plan.find_files([str(listed)]) == ["a.jpg", "rtsp://127.0.0.1:9/a.mp4"]
    _, video = plan.cut(plan.find_files([str(listed)]), Sampling())
    (problem,) = ground_part(job_for(Sampling()), work, video)
    assert "which does not exist" in problem


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> Any:  # root may read everything, so permissions would not do
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match="deep': Permission denied"):
        plan.find_files([str(lake)])


def test_two_runs_do_not_share_a_result(tmp_path: Path) -> None:
    first, second = (WorkFolder(tmp_path / "rows.jsonl") for _ in range(2))
    refused = pytest.raises(GroundingError, match=r"another run is writing .*rows\.jsonl")
    with first.claimed(), refused, second.claimed():
        pass
    with second.claimed():
        pass
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'no', which does not exist"):
        plan.find_files(["no"])
    with pytest.raises(SourceError, match="found none"):
        plan.find_files([str(tmp_path)])


def test_lanes_keep_a_video_together_unless_there_are_workers_to_spare(
    lake: Path, tmp_path: Path, small_parts: None
) -> None:
    save_video(tmp_path / "b.mp4", 40)
    paths = [str(lake / "2.jpg"), str(lake / "walk.mp4"), str(tmp_path / "b.mp4")]
    parts = list(plan.cut(paths, Sampling()))
    assert [len(lane) for lane in plan.lanes(parts, 2)] == [5, 4, 1]
    assert [len(lane) for lane in plan.lanes(parts, 4)] == [3, 2, 2, 2, 1]
    for workers in (1, 2, 3, 100):
        lanes = plan.lanes(parts, workers)
        assert sorted(p.key for lane in lanes for p in lane) == sorted(p.key for p in parts)
        assert all(len({part.paths for part in lane}) == 1 for lane in lanes)


def test_other_settings_are_noticed(tmp_path: Path) -> None:
    settings = {"bundle": "f00", "phrases": ["a dog"], "fps": None}
    WorkFolder(tmp_path / "a.jsonl").open(settings)
    WorkFolder(tmp_path / "a.jsonl").open(settings)
    with pytest.raises(BatchMismatchError, match=r"fps None -> 2.0\. .* rm -r .*a\.jsonl\.work"):
        WorkFolder(tmp_path / "a.jsonl").open({**settings, "fps": 2.0})


def test_a_model_or_phrase_that_cannot_be_used_ends_a_part(lake: Path, work: WorkFolder) -> None:
    part, *_ = plan.cut([str(lake / "2.jpg")], Sampling())
    with pytest.raises(PhraseError):
        ground_part(dataclasses.replace(job_for(Sampling()), phrases=("?",)), work, part)
    nothing = dataclasses.replace(MODEL, bundle="no/bundle")
    with pytest.raises(GroundingError, match="no/bundle"):
        ground_part(dataclasses.replace(job_for(Sampling()), model=nothing), work, part)
    assert not work.is_done(part)


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
def test_a_missing_package_is_told_with_its_extra(
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
    assert "pip install" in error and package in error and "`offline`" in error
