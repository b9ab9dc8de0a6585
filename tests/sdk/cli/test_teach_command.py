"""`grounder teach` and `grounder deltas`: from a file of examples to a lesson that is used."""

import json
from pathlib import Path
from typing import Any

import pytest

from sdk import Lesson
from sdk.cli import main
from tests.pupils import CUP, CUP_BOX, PICTURES

BOX = list(CUP_BOX)


def examples(path: Path, *lines: Any) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return str(path)


def line(picture: Path, box: list[int] | None, phrase: str = "zorbl") -> dict[str, Any]:
    return {"image": str(picture), "phrase": phrase, "box": box}


def test_from_examples_to_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = examples(
        tmp_path / "cup.jsonl", line(CUP, BOX), "", line(PICTURES / "windmill.jpg", None)
    )
    out = tmp_path / "zorbl.delta"
    assert main(["teach", file, "--out", str(out), "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "zorbl: pictures with it: 1, without it: 1" in printed and str(out) in printed
    picture = line(CUP, None)["image"]
    asked = ["ground", picture, "the zorbl", "--json", "--threads", "1"]
    assert main(asked) == 0
    assert not json.loads(capsys.readouterr().out)["results"][0]["found"]
    assert main([*asked, "--delta", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["found"]


def test_no_input_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (picture := tmp_path / "cup.jpg").write_bytes(CUP.read_bytes())
    file = examples(tmp_path / "cup.jsonl", line(picture, BOX))
    before = Path(file).read_bytes(), picture.read_bytes()
    for out in (file, str(picture)):
        assert main(["teach", file, "--out", out, "--threads", "1"]) == 2
        assert "is the input itself" in capsys.readouterr().err
    assert (Path(file).read_bytes(), picture.read_bytes()) == before


def test_what_lessons_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = examples(tmp_path / "cup.jsonl", line(CUP, BOX), line(CUP, BOX, "my cup"))
    out = str(tmp_path / "cup.delta")
    assert main(["teach", file, "--name", "my cup", "--out", out, "--threads", "1"]) == 0
    capsys.readouterr()
    assert main(["deltas", out]) == 0
    assert "'my cup', read as" in (said := capsys.readouterr().out) and "fits default" in said
    assert main(["deltas", out, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["lessons"]
    assert row["name"] == "my cup" and row["fits"] and row["examples"] == 1
    assert row["read_as"] == Lesson.load(out).noun
    (damaged := tmp_path / "damaged.delta").write_bytes(b"?")
    assert main(["deltas", str(damaged), out]) == 2  # what can be read is told all the same
    said = capsys.readouterr()
    assert "'my cup', read as" in said.out and "damaged.delta" in said.err


@pytest.mark.parametrize(
    ("lines", "flags", "said"),
    [
        (["not JSON"], [], ":1: expected an object with image, phrase and box"),
        ([{"image": "a.jpg", "phrase": "a"}], [], ":1: expected an object"),
        ([["a", "b"]], [], ":1: expected an object"),
        ([], [], "expected one name, or --name to choose one, got 0 names: none"),
        ([line(CUP, BOX), line(CUP, BOX, "b")], [], "got 2 names: 'zorbl', 'b'"),
        ([line(CUP, BOX)], ["--name", "b"], "expected the name 'b', got 1 names: 'zorbl'"),
        ([line(CUP, None)], [], "expected an example with a box"),
        (["", line(CUP, [0, 0, 9999, 1])], [], "bad.jsonl:2: expected a box"),
        ([line(CUP, BOX), line(PICTURES / "none.jpg", BOX)], [], "bad.jsonl:2: "),
        ([line(CUP, BOX, "left")], [], ":1: expected a name of a thing, got 'left'"),
        ([line(CUP, BOX)], ["--out", "none/out.delta"], "expected a file in a folder that exists"),
    ],
)
def test_bad_examples_are_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: list[Any],
    flags: list[str],
    said: str,
) -> None:
    out = tmp_path / "out.delta"
    file = examples(tmp_path / "bad.jsonl", *lines)
    assert main(["teach", file, "--out", str(out), *flags, "--threads", "1"]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and not out.exists()


def test_a_name_in_any_case_is_taken_from_a_file_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = examples(
        tmp_path / "cup.jsonl",
        line(CUP, BOX, "C#"),
        line(CUP, BOX, "the left one"),
        line(PICTURES / "windmill.jpg", None, "the c#"),
    )
    # As Windows writes it.
    Path(file).write_text(Path(file).read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert main(["teach", file, "--name", "c#", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "C#: pictures with it: 1, without it: 1" in printed
    assert "PICTURE 'C#' --delta 'C#.delta'" in printed
    assert Lesson.load("C#.delta").name == "C#"


def test_no_file_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["teach", "none.jsonl"], ["deltas", "none.delta"]):
        assert main(command) == 2
        assert "none" in capsys.readouterr().err
