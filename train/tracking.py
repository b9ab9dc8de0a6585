"""Which of accelerate's trackers gets a run's curves beside the run's own files."""

from __future__ import annotations

from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

PROJECT = "curves"
"""The folder in a run's folder where a tracker that writes files keeps them."""


def tracker(name: str) -> str | None:
    """What `Accelerator(log_with=...)` takes for `TrainConfig.track`.

    Raises:
        ValueError: accelerate knows no such tracker, or it is not installed.
    """
    if not name:
        return None
    known = sorted(str(kind) for kind in LoggerType if kind != LoggerType.ALL)
    if name not in known:
        raise ValueError(f"--track: expected one of {', '.join(known)}, got {name!r}")
    if name not in map(str, get_available_trackers()):
        raise ValueError(f"--track: {name} is not installed; pip install {name}")
    return name
