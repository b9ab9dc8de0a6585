"""The parts of a batch: which files are found, how they are cut, what is written for each."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdk import GroundingError, PhraseError, SourceError
from sdk.batch import plan
from sdk.batch.folder import WorkFolder
from sdk.batch.video import Sampling, VideoReader
from sdk.batch.worker import Job, give_up, ground_part
from tests.batches import ASSETS, MODEL, PHRASES, rows_of, save_video

pytest_plugins = ["tests.batches"]


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
    frames = [row["frame"] for row in expected if row["rank"] == 0][::2]  # of two phrases
    assert sum(part.frames for part in parts) in range(len(frames), len(frames) + 4)
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
    with pytest.raises(GroundingError, match=r"fps None -> 2.0\. .* rm -r .*a\.jsonl\.work"):
        WorkFolder(tmp_path / "a.jsonl").open({**settings, "fps": 2.0})


@pytest.mark.parametrize("content", ["[]", "null", "1", "[" * 9000, "{"])
def test_a_damaged_work_folder_is_said(tmp_path: Path, content: str) -> None:
    folder = WorkFolder(tmp_path / "a.jsonl")
    folder.open({"phrases": ["a dog"]})
    (folder.path / "run.json").write_text(content)
    with pytest.raises(GroundingError, match="cannot use the work folder"):
        folder.open({"phrases": ["a dog"]})


def test_what_a_killed_run_was_writing_goes_with_the_next(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path / "a[1].jsonl")
    folder.open({"phrases": ["a dog"]})
    (tmp_path / "a[1].jsonl.00ff.grounder-tmp").write_text("half")
    (tmp_path / "b.jsonl.00ff.grounder-tmp").write_text("of another table")
    assert folder.merge([]) == 0
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert names == {"a[1].jsonl", "b.jsonl.00ff.grounder-tmp"}


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("content", ['{"source": "2.jp', '{"source": "2.jpg"}', "[1]", "[" * 9000])
def test_a_damaged_part_is_said(lake: Path, tmp_path: Path, content: str, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    folder = WorkFolder(tmp_path / f"a{suffix}")
    folder.open({"phrases": ["a dog"]})
    part, *_ = plan.cut([str(lake / "2.jpg")], Sampling())
    (folder.path / f"{part.key}.jsonl").write_text(content)
    with pytest.raises(GroundingError, match=r"a part in .* is damaged: .*rm -r"):
        folder.merge([part])
    assert not (tmp_path / f"a{suffix}").exists()


def test_a_model_or_phrase_that_cannot_be_used_ends_a_part(lake: Path, work: WorkFolder) -> None:
    part, *_ = plan.cut([str(lake / "2.jpg")], Sampling())
    with pytest.raises(PhraseError):
        ground_part(dataclasses.replace(job_for(Sampling()), phrases=("?",)), work, part)
    nothing = dataclasses.replace(MODEL, bundle="no/bundle")
    with pytest.raises(GroundingError, match="no/bundle"):
        ground_part(dataclasses.replace(job_for(Sampling()), model=nothing), work, part)
    assert not work.is_done(part)
