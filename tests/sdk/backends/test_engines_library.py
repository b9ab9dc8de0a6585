"""Which TensorRT there is, and what it builds for."""

import dataclasses
import sys
from pathlib import Path

import pytest

from sdk.backends.tensorrt import library as libraries
from sdk.backends.tensorrt.library import Device, Library, Target, load_library
from sdk.errors import DependencyError, DeviceError

pytest_plugins = ["tests.compiling"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise ImportError('libnvinfer.so.10: cannot open')", "libnvinfer.so.10.*python3-libnv"),
        ("raise FileNotFoundError('Could not find: nvinfer_10.dll')", "nvinfer_10.dll.*JetPack"),
        ("__version__ = '8.6.1'", r"expected tensorrt 10 or newer, got 8\.6\.1\. Fix: pip"),
        ("", "got unknown"),
    ],
)
def test_a_tensorrt_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(content)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tensorrt", None):  # the first choice is not passed over
        with pytest.raises(DependencyError, match=message):
            load_library(name)
    sys.modules.pop("tensorrt", None)


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    libraries._load.cache_clear()
    with pytest.raises(DependencyError, match=r"does not import: .*pip install tensorrt-rtx"):
        load_library("tensorrt-rtx")
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="neither tensorrt nor tensorrt-rtx is installed"):
        load_library()
    with pytest.raises(DeviceError, match=r"one of \['tensorrt', 'tensorrt-rtx'\], got 'trt'"):
        load_library("trt")


def test_targets(rtx: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of TensorRT is for the device at hand, one of TensorRT-RTX for a kind of device."""
    tensorrt = dataclasses.replace(rtx, name="tensorrt")
    monkeypatch.setattr(libraries, "cuda_device", lambda: None)
    assert rtx.target() == Target("any", "any", "any")
    assert rtx.target("8.9") == Target("any", "any", "8.9")
    for call in (tensorrt.target, tensorrt.runnable_targets, rtx.runnable_targets):
        with pytest.raises(DeviceError, match="found no GPU"):
            call()
    monkeypatch.setattr(libraries, "cuda_device", lambda: Device("Orin", "8.7", 8))
    (target,) = tensorrt.runnable_targets()
    assert target == tensorrt.target("8.7")
    assert (target.device, target.compute_capability) == ("Orin, 8 SMs", "8.7")
    assert target.platform.startswith(sys.platform)
    assert rtx.runnable_targets() == [Target("any", "any", "8.7"), Target("any", "any", "any")]
    with pytest.raises(DeviceError, match=r"expected 8\.7, that of Orin, 8 SMs, got 8\.6"):
        tensorrt.target("8.6")
