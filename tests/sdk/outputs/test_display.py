"""A missing display is an error with advice; OpenCV itself would abort the process."""

import os
import sys

import cv2
import pytest

from sdk import DependencyError
from sdk.outputs.display import require_display
from tests.paths import ROOT
from tests.waiting import run_process


def test_without_windows_or_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DependencyError, match="--headless --output"):
        require_display()


@pytest.mark.skipif(sys.platform != "linux", reason="X11 is Linux's")
def test_a_display_that_does_not_answer() -> None:
    """In a child process, because this is where OpenCV would abort."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport sdk.outputs.display as d\n"
    done = run_process(
        [sys.executable, "-c", code + "d.require_display()"], env={**os.environ, "DISPLAY": ":250"}
    )
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("sdk.errors.DependencyError")
    if not _headless_build():
        assert "DISPLAY=':250'" in error


def _headless_build() -> bool:
    return any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines())
