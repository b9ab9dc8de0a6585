"""The `grounder` command: what it prints, what it writes, and how it fails."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import sdk
from sdk import Grounder, Grounding
from sdk._internal.hashing import sha256_file
from sdk.application import refuse_overwriting, table
from sdk.bundle.manifest import GraphFile, Manifest
from sdk.cli import main
from sdk.results import Place
from tests.paths import ROOT
from tests.waiting import WAIT, run_process


@pytest.fixture
def photo(tmp_path: Path, frame: NDArray[np.uint8]) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), frame)
    return path


def test_json_is_one_object_with_what_the_api_gives(
    tiny_bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phrases = ["the dog", "a cat on the left"]
    assert main(["ground", str(photo), *phrases, "--json", "--bundle", str(tiny_bundle)]) == 0
    printed = capsys.readouterr()
    expected = [result.to_dict() for result in Grounder.load(tiny_bundle).ground(photo, phrases)]
    assert json.loads(printed.out) == {
        "image": str(photo),
        "size_wh": [200, 120],
        "results": expected,
    }
    assert printed.err == ""


def test_the_table_has_one_line_per_phrase(
    tiny_bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phrases = ["the dog", "a cat", "red shirt"]
    assert main(["ground", str(photo), *phrases, "--bundle", str(tiny_bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    results = Grounder.load(tiny_bundle).ground(photo, phrases)
    assert {result.found for result in results} == {True, False}
    for line, result in zip(lines, results, strict=True):
        assert line.startswith(result.text)
        assert f"{result.score:.2f}" in line
        assert ("not found" in line) != result.found
        assert (f"{result.box[2]:.1f}" in line) == result.found


def test_other_places_and_a_region(
    tiny_bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    region = (20, 10, 150, 100)
    words = ["--alternatives", "2", "--region", *map(str, region), "--bundle", str(tiny_bundle)]
    result = Grounder.load(tiny_bundle).ground(photo, "a cat", alternatives=2, region=region)
    assert result.alternatives
    assert main(["ground", str(photo), "a cat", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == [result.to_dict()]
    assert main(["ground", str(photo), "a cat", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    scores = [place.score for place in result.places()]
    assert [re.findall(r"\d\.\d\d", line)[0] for line in lines] == [f"{s:.2f}" for s in scores]
    assert [line.endswith("perhaps") for line in lines] == [False, True, True]


def test_every_instance_and_every_unknown_word_is_printed() -> None:
    boxes = [Place((1, 2, 3, 4), 0.9), Place((5, 6, 7, 8), 0.7)]
    dogs = Grounding("the dogs", boxes[0].box, 0.9, True, tuple(boxes), (), ("blorpy",))
    nothing = Grounding("xyzzy", (0, 0, 1, 1), 0.0, False, unknown_words=("xyzzy",))
    assert table([dogs, nothing]).splitlines() == [
        "the dogs  0.90     1.0    2.0    3.0    4.0  unknown: blorpy",
        "          0.70     5.0    6.0    7.0    8.0",
        "xyzzy     0.00  not found  unknown: xyzzy",
    ]


def test_a_phrase_cannot_write_to_the_terminal() -> None:
    found = Grounding("a\x1b[31m\ndog", (0, 0, 1, 1), 0.0, False, unknown_words=("\x9b2J",))
    assert table([found]) == r"a\x1b[31m\ndog  0.00  not found  unknown: \x9b2J"


def test_save_writes_the_annotated_picture(tiny_bundle: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    command = ["ground", str(photo), "the dog", "--save", str(out), "--bundle", str(tiny_bundle)]
    assert main(command) == 0
    saved, original = cv2.imread(str(out)), cv2.imread(str(photo))
    assert saved is not None and original is not None
    assert saved.shape == original.shape
    assert (saved != original).any()


def test_precision_is_passed_on(
    tiny_bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = []
    for precision in ("fp32", "int8"):
        options = ["--precision", precision, "--bundle", str(tiny_bundle), "--threads", "1"]
        assert main(["ground", str(photo), "the dog", "--json", *options]) == 0
        scores.append(json.loads(capsys.readouterr().out)["results"][0]["score"])
    assert scores[0] != scores[1]


def test_info_shows_the_bundle(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tiny_bundle), "--device", "cpu"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["name"], info["device"], info["precision"]) == ("tiny", "cpu", "fp32")
    assert main(["info", str(tiny_bundle), "--device", "cpu", "--metrics"]) == 0
    assert json.loads(capsys.readouterr().out).keys() - info.keys() == {"metrics"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ground", "{photo}", "a dog", "--bundle", "/nowhere"], "/nowhere"),
        (["ground", "nothing.jpg", "a dog", "--bundle", "{bundle}"], "nothing.jpg"),
        (["ground", "{photo}", "...", "--bundle", "{bundle}"], "no letter or digit"),
        (["ground", "{photo}", "a dog", "--bundle", "{bundle}", "--device", "tpu"], "tpu"),
        (["ground", "{photo}", "a dog", "--bundle", "{bundle}", "--precision", "fp8"], "fp8"),
        (["ground", "{photo}", "a dog", "--bundle", "{bundle}", "--threads", "0"], "threads"),
        (["ground", "{photo}", "a dog", "--bundle", "{bundle}", "--save", "out.xyz"], "out.xyz"),
        (["info", "/nowhere"], "/nowhere"),
        (["info", "/no\x1b[2Jwhere"], "/no\\x1b[2Jwhere"),
        (["compile", "/nowhere"], "/nowhere"),
        (["compile", "{bundle}", "--precision", "fp8"], "fp8"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    tiny_bundle: Path,
    photo: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    filled = [argument.format(photo=photo, bundle=tiny_bundle) for argument in arguments]
    assert main(filled) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert complaint in printed.err


def test_version_and_a_command_line_without_command() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sdk.cli import main; main()"
    version = run_process([sys.executable, "-c", code, "--version"])
    assert version.stdout == f"grounder {sdk.__version__}\n"
    assert run_process([sys.executable, "-c", code]).returncode == 2


def test_the_input_is_never_overwritten(tiny_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "k.png"
    cv2.imwrite(str(picture), np.full((60, 80, 3), 90, np.uint8))
    before = picture.read_bytes()
    done = main(
        ["ground", str(picture), "a cup", "--save", str(picture), "--bundle", str(tiny_bundle)]
    )
    assert done == 2 and picture.read_bytes() == before


def test_what_is_no_file_name_is_not_the_input(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").touch()
    refuse_overwriting(f"videotestsrc ! {'tee ! ' * 99} appsink", str(tmp_path / "out.mp4"))


def compiled(bundle: Path, folder: Path, *more: str) -> int:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    options = ["--library", "tensorrt-rtx", "--engines", str(folder), *more]
    return main(["compile", str(bundle), *options])


def test_compile_lists_the_engines_and_the_second_time_finds_them(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "engines"
    assert compiled(tiny_bundle, folder) == 0
    first = capsys.readouterr()
    for graph, line in zip(("vision", "text", "fusion"), first.out.splitlines(), strict=True):
        (engine,) = folder.glob(f"{graph}.*.engine")
        megabytes = f"{engine.stat().st_size / 1e6:.1f} MB"
        assert line.startswith(f"{graph:7s} fp32  {engine}, {megabytes}, ") and line.endswith(" s")
    phases = first.err.splitlines()
    assert {phase.split(": ")[0] for phase in phases} == {"vision", "text", "fusion"}
    assert len(phases) == len(set(phases))
    assert compiled(tiny_bundle, folder) == 0
    second = capsys.readouterr()
    assert compiled(tiny_bundle, tmp_path / "none", "--workspace-mib", "0") == 2
    assert "workspace memory" in capsys.readouterr().err
    assert [line.endswith("was there already") for line in second.out.splitlines()] == [True] * 3
    assert second.err == ""


@pytest.mark.parametrize(
    ("graph", "code", "fate"), [("text", 0, "stays on ONNX Runtime"), ("vision", 2, "refused")]
)
def test_a_graph_that_tensorrt_does_not_take(
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    graph: str,
    code: int,
    fate: str,
) -> None:
    manifest = Manifest.load(tiny_bundle)
    path = tiny_bundle / manifest.graphs[graph]["fp32"].file
    model = onnx.load(path)
    model.graph.node[0].op_type = "Unheard"
    onnx.save(model, path)
    changed = GraphFile(path.name, sha256_file(path), path.stat().st_size)
    graphs = {**manifest.graphs, graph: {"fp32": changed}}
    precisions = {"fp32": manifest.precisions["fp32"]}
    dataclasses.replace(manifest, graphs=graphs, precisions=precisions).save(tiny_bundle)
    assert compiled(tiny_bundle, tmp_path / "engines") == code
    printed = capsys.readouterr()
    (line,) = (line for line in printed.out.splitlines() if line.startswith(graph))
    assert line.startswith(f"{graph:7s} fp32  {fate}: ") and "Unheard" in line
    assert f"error: without {graph} the bundle cannot run" in printed.err or code == 0


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_on_a_terminal_progress_is_one_line_that_is_wiped(tiny_bundle: Path) -> None:
    import pty

    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    ours, theirs = pty.openpty()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sdk.cli import main; main()"
    options = ["compile", str(tiny_bundle), "--library", "tensorrt-rtx"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *options],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "50"},
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how a pseudo-terminal ends
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert child.wait(WAIT) == 0
    lines = shown.decode().split("\r")
    assert lines.pop() == "" and "\n" not in shown.decode()
    assert {len(line) for line in lines} == {49} and lines[-1].isspace()
    assert any(line.startswith("vision: Building engine 0/") for line in lines)


def test_a_reader_that_stops_reading_is_no_error(tiny_bundle: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sdk.cli", "info", str(tiny_bundle)]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=WAIT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_without_the_phrase_s_letters_shows_their_codes(
    tiny_bundle: Path, photo: Path
) -> None:
    command = [sys.executable, "-m", "sdk.cli", "ground", str(photo), "the dog \u732b"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run_process([*command, "--bundle", str(tiny_bundle)], cwd=ROOT, env=environment)
    assert done.returncode == 0 and "the dog \\u732b" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "sdk.cli", "info", str(tiny_bundle)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=WAIT)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1


def test_the_command_runs_as_a_module() -> None:
    done = run_process([sys.executable, "-m", "sdk.cli", "--version"], cwd=ROOT)
    assert done.returncode == 0 and done.stdout.strip() == f"grounder {sdk.__version__}"
