"""`grounder doctor` on this machine: what it says of bundles, options and engines."""

import dataclasses
import shlex
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from sdk import Grounder
from sdk.backends.tensorrt import library
from sdk.backends.tensorrt.library import cuda_device
from sdk.cli import doctor, main
from tests.diagnosing import call
from tests.paths import ROOT

pytest_plugins = ["tests.diagnosing"]


def test_this_machine_and_the_default_bundle(ask: Any) -> None:
    code, report, err = ask()
    assert (code, report["ready"], err) == (0, True, "")
    checks = report["checks"]
    assert checks["onnxruntime"]["version"] == metadata.version(checks["onnxruntime"]["wheel"])
    assert checks["onnxruntime"]["providers"] == onnxruntime.get_available_providers()
    assert checks["opencv"]["version"] == metadata.version(checks["opencv"]["wheel"])
    for name, wheel in (("openvino", "openvino"), ("tensorrt_rtx", "tensorrt-rtx")):
        if checks[name]["status"] == "ok":
            assert checks[name]["version"] == metadata.version(wheel)
    info = dataclasses.asdict(Grounder.load().info)
    assert checks["bundle"]["graphs"] == info["graphs"]
    assert checks["bundle"]["device"] == info["device"]
    wrong = {name for name, check in checks.items() if check["status"] in ("missing", "problem")}
    assert {checks[name]["fix"] or checks[name]["text"] for name in wrong} == set(report["todo"])


def test_the_text_has_a_line_for_each_check(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, report, _ = ask()
    assert call() == 0
    lines = capsys.readouterr().out.splitlines()
    for (name, check), line in zip(report["checks"].items(), lines, strict=False):
        assert line.startswith(doctor.MARKS[check["status"]])
        assert name in line and check["text"] in line
    closing = lines[len(report["checks"]) :]
    assert closing[:2] == ["", "to do:" if report["todo"] else "nothing to do"]
    assert [line.partition(". ")[2] for line in closing[2:]] == report["todo"]


def test_a_damaged_bundle_is_exit_code_2_and_names_the_file(tmp_path: Path, ask: Any) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(ROOT / "sdk/bundles/default", bundle)
    damaged = bundle / "fusion.fp32.onnx"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    code, report, err = ask(bundle)
    assert (code, report["ready"]) == (2, False)
    assert err.startswith("error: ") and err.count("\n") == 1 and damaged.name in err
    for name in ("files", "bundle"):
        assert report["checks"][name]["status"] == "problem"
        assert damaged.name in report["checks"][name]["text"]
    assert damaged.name in " ".join(report["todo"])


def test_a_damaged_file_that_is_not_used_is_a_problem_but_the_bundle_runs(
    tiny_bundle: Path, ask: Any
) -> None:
    with open(tiny_bundle / "text.int8.onnx", "ab") as file:
        file.write(b"!")
    code, report, _ = ask(tiny_bundle)
    assert (code, report["ready"]) == (0, True)
    assert report["checks"]["files"]["status"] == "problem"
    assert "text.int8.onnx" in " ".join(report["todo"])


def test_no_bundle(ask: Any) -> None:
    code, report, err = ask("/nowhere")
    assert (code, report["ready"]) == (2, False)
    assert "/nowhere" in err


def test_what_is_asked_for_is_what_would_run(tiny_bundle: Path, ask: Any) -> None:
    for precision in ("fp32", "int8"):
        code, report, _ = ask(tiny_bundle, "--precision", precision, "--threads", 1)
        bundle = report["checks"]["bundle"]
        assert (code, bundle["precision"]) == (0, precision)
        assert f"text cpu {precision}" in bundle["text"]


def test_a_precision_or_device_that_cannot_run_is_said(tiny_bundle: Path, ask: Any) -> None:
    for option, value in (("--precision", "fp16"), ("--device", "gpu")):
        code, report, err = ask(tiny_bundle, option, value)
        assert (code, report["ready"]) == (2, False)
        assert report["checks"]["files"]["status"] == "ok"
        assert repr(value) in report["checks"]["bundle"]["text"] and repr(value) in err


@pytest.mark.skipif(cuda_device() is not None, reason="CUDA works here")
def test_without_a_gpu_engines_are_of_no_use(tiny_bundle: Path, tmp_path: Path, ask: Any) -> None:
    code, report, _ = ask(tiny_bundle, "--engines", tmp_path / "elsewhere")
    engines = report["checks"]["engines"]
    assert (code, engines["status"]) == (0, "absent")
    assert str(tmp_path / "elsewhere") in engines["text"]
    assert "answers with vision cpu fp32" in report["checks"]["bundle"]["text"]


@pytest.mark.skipif(cuda_device() is not None, reason="CUDA works here")
def test_engines_that_are_not_there_come_with_the_command_that_builds_them(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ask: Any,
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    monkeypatch.setattr(library, "cuda_device", lambda: library.Device("RTX 3060", "8.6", 28))
    folder = tmp_path / "my engines"
    options = ["--precision", "int8", "--engines", folder, "--device", "tensorrt-rtx"]
    code, report, err = ask(tiny_bundle, *options)
    assert (code, report["checks"]["engines"]["status"]) == (2, "missing")
    fix = report["checks"]["engines"]["fix"]
    assert fix in report["todo"] and str(folder) in err
    asked = ["--precision", "int8", "--engines", str(folder), "--library", "tensorrt-rtx"]
    assert shlex.split(fix) == ["grounder", "compile", str(tiny_bundle), *asked]
    assert main(shlex.split(fix)[1:]) == 0
    capsys.readouterr()
    engines = ask(tiny_bundle, *options)[1]["checks"]["engines"]
    assert engines["status"] == "problem"  # found, but the driver that would run them is not there
    assert str(folder) in engines["text"] and "does not load" in engines["text"]
