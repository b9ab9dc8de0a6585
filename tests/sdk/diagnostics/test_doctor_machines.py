"""`grounder doctor` on machines that this one can be made to look like."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from sdk.backends.tensorrt.library import cuda_device
from sdk.diagnostics import machine
from tests.paths import ROOT
from tests.waiting import run_process

pytest_plugins = ["tests.diagnosing"]

OPTIONAL = ("openvino", "tensorrt", "tensorrt_rtx", "cuda")

FRESH = """
import sys
sys.path.insert(0, {repository!r})
{setup}
from sdk.cli import main
sys.exit(main(["doctor", "--json"]))
"""
BLOCK = """
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Block())
"""


def fresh(setup: str) -> tuple[int, dict[str, Any], str]:
    code = FRESH.format(repository=str(ROOT), setup=setup)
    done = run_process([sys.executable, "-c", code])
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def command(folder: Path, name: str, prints: str) -> None:
    """A program in `folder` that prints what the real one does on another machine."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\n")
    program.chmod(0o755)


def test_what_an_extra_lacks_is_named() -> None:
    code, report, _ = fresh("sys.modules.update(uvicorn=None, pyarrow=None)")
    checks = report["checks"]
    assert code == 0
    assert checks["batch"]["status"] == "ok"
    for name, wheel in (("serve", "uvicorn"), ("parquet", "pyarrow")):
        assert (checks[name]["status"], checks[name]["fix"]) == ("absent", f"pip install {wheel}")
    assert not any("uvicorn" in line for line in report["todo"])  # it is optional


def test_a_machine_without_the_optional_packages_lists_what_installs_them() -> None:
    code, report, _ = fresh(BLOCK.format(blocked=OPTIONAL))
    assert (code, report["ready"]) == (0, True)
    for name, line in (
        ("openvino", "pip install openvino"),
        ("tensorrt", "pip install tensorrt-cu"),
        ("tensorrt_rtx", "pip install tensorrt-rtx"),
        ("cuda_python", 'pip install "cuda-python=='),
    ):
        assert report["checks"][name]["status"] in ("absent", "missing")
        assert report["checks"][name]["text"] == "not installed"
        assert report["checks"][name]["fix"].startswith(line)


@pytest.mark.parametrize(
    ("blocked", "check", "fix"),
    [
        ("cv2", "opencv", "pip install opencv-python"),
        ("onnxruntime", "onnxruntime", "pip install onnxruntime"),
        ("numpy", "numpy", "pip install numpy"),
    ],
)
def test_without_a_package_it_needs_the_report_still_comes(
    blocked: str, check: str, fix: str
) -> None:
    code, report, err = fresh(BLOCK.format(blocked=(blocked,)))
    assert (code, report["ready"]) == (2, False)
    checks = report["checks"]
    assert checks[check]["status"] in ("missing", "problem")
    assert checks[check]["fix"].endswith(fix) or checks[check]["fix"].startswith(fix)
    assert report["todo"] == [checks[check]["fix"]]  # what fails for want of it is no item
    assert checks["python"]["status"] == "ok"
    assert (checks["bundle"]["status"], checks["bundle"]["fix"]) == ("problem", report["todo"][0])
    last = err.splitlines()[-1]  # cv2 and ONNX Runtime complain as well
    assert last.startswith("error: ") and last.endswith(f"Fix: {report['todo'][0]}")
    assert blocked in last


@pytest.mark.parametrize(
    ("package", "content", "fix"),
    [
        ("numpy", "raise ImportError('C extensions')", "pip install --force-reinstall numpy"),
        ("cv2", "raise ImportError('libGL.so.1: cannot open shared object')", "apt-get install"),
        ("onnxruntime", "raise RuntimeError('illegal')", "pip install onnxruntime"),
    ],
)
def test_with_a_broken_package_the_report_still_comes(
    tmp_path: Path, package: str, content: str, fix: str
) -> None:
    (tmp_path / f"{package}.py").write_text(content)
    code, report, err = fresh(f"sys.path.insert(0, {str(tmp_path)!r})")
    assert (code, report["ready"]) == (2, False)
    assert len(report["todo"]) == 1 and fix in report["todo"][0]
    assert err.splitlines()[-1].startswith("error: ")


def test_a_package_whose_own_dependency_is_missing_counts_as_broken(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("import surely_not_installed")
    _, report, _ = fresh(f"sys.path.insert(0, {str(tmp_path)!r})")
    assert report["checks"]["openvino"]["status"] == "problem"
    assert "surely_not_installed" in report["checks"]["openvino"]["text"]


def test_a_package_that_breaks_in_its_own_way_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("raise RuntimeError('built for another glibc')")
    code, report, _ = fresh(f"sys.path.insert(0, {str(tmp_path)!r})")
    assert (code, report["ready"]) == (0, True)
    assert report["checks"]["openvino"]["status"] == "problem"
    assert "built for another glibc" in report["checks"]["openvino"]["text"]


def test_two_wheels_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, ask: Any
) -> None:
    for other in ("onnxruntime-gpu", "opencv-contrib-python"):
        folder = tmp_path / f"{other.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {other}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    _, report, _ = ask(tiny_bundle)
    for check, wheel in (("onnxruntime", "onnxruntime-gpu"), ("opencv", "opencv-contrib-python")):
        assert report["checks"][check]["status"] == "problem"
        assert "overwriting each other" in report["checks"][check]["text"]
        assert report["checks"][check]["fix"].startswith("pip uninstall -y ")
        assert wheel in report["checks"][check]["fix"].partition("&&")[0]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="has the GPU's wheel"
)
@pytest.mark.parametrize(
    ("driver", "ort", "tensorrt"),
    [
        ("550.54.14", '"onnxruntime-gpu[cuda,cudnn]<1.27"', "tensorrt-cu12"),
        ("580.65.06", '"onnxruntime-gpu[cuda,cudnn]"', "tensorrt-cu13"),
    ],
)
def test_a_gpu_that_nothing_uses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_bundle: Path,
    ask: Any,
    driver: str,
    ort: str,
    tensorrt: str,
) -> None:
    command(tmp_path / "bin", "nvidia-smi", f"NVIDIA GeForce RTX 4090, 24564 MiB, 8.9, {driver}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    code, report, _ = ask(tiny_bundle)
    assert code == 0
    checks = report["checks"]
    assert checks["gpu"]["driver"] == driver
    assert checks["onnxruntime"]["status"] == "missing"
    assert checks["onnxruntime"]["fix"] == f"pip uninstall -y onnxruntime && pip install {ort}"
    assert checks["tensorrt"]["fix"] == f"pip install {tensorrt}"
    assert {checks["onnxruntime"]["fix"], checks["tensorrt"]["fix"]} <= set(report["todo"])


@pytest.mark.skipif(cuda_device() is not None, reason="CUDA works here")
@pytest.mark.parametrize(
    "module",
    [
        "NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024",
        "NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build",
    ],
)
def test_a_container_that_was_not_given_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, ask: Any, module: str
) -> None:
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(f"NVRM version: {module}\nGCC version:\n")
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    code, report, _ = ask(tiny_bundle)
    assert code == 0
    assert report["checks"]["gpu"]["status"] == "problem"
    assert report["checks"]["gpu"]["driver"] == "550.54.14"
    assert "docker run --gpus all" in " ".join(report["todo"])


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvpmodel is a shell script")
@pytest.mark.parametrize(
    ("release", "jetpack", "cuda"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "6.2", 12),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic", "7.0", 13),
        ("# R40 (release), REVISION: 1.0, GCID: 1, BOARD: generic", "", 13),
    ],
)
@pytest.mark.parametrize("shipped", [True, False])
def test_a_jetson(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_bundle: Path,
    ask: Any,
    release: str,
    jetpack: str,
    cuda: int,
    shipped: bool,
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(f"{release}, EABI: aarch64\n")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Super\0")
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nFeatures\t: fp asimd asimddp\n")
    if shipped:
        (tmp_path / "usr/lib/python3.10/dist-packages/tensorrt").mkdir(parents=True)
    command(tmp_path / "bin", "nvpmodel", "NV Power Mode: 15W\n0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    code, report, _ = ask(tiny_bundle)
    checks = report["checks"]
    assert code == 0
    assert checks["jetson"]["jetpack"] == jetpack
    assert checks["jetson"]["power_mode"] == "15W"
    assert checks["cpu"]["instructions"] == ["neon", "neon dot product"]
    assert checks["gpu"]["gpus"] == ["NVIDIA Jetson Orin Nano Super"]
    assert checks["onnxruntime"]["status"] == "ok"
    assert checks["tensorrt"]["status"] == "missing"
    expected = "venv --system-site-packages" if shipped else "apt-get install python3-libnvinfer"
    assert expected in checks["tensorrt"]["fix"]
    assert "pip" not in checks["tensorrt"]["fix"]
    assert f"cuda-python=={cuda}.*" in checks["cuda_python"]["fix"]
