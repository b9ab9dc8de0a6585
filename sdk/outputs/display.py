"""Whether a window can be opened here.

OpenCV's Qt build does not raise without a display: it aborts the whole process, so ask first.
"""

import ctypes
import os
import re
import subprocess
import sys
from contextlib import suppress

from sdk._internal.opencv import cv2
from sdk.errors import DependencyError

_INSTEAD = "or run without a window: --headless --output out.mp4"
_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"


def require_display() -> None:
    """Return if `cv2.imshow` works here; call it before the first window.

    Raises:
        DependencyError: OpenCV has no windows, or no display can be reached.
    """
    toolkit = _gui_toolkit()
    if toolkit == "NONE":
        raise DependencyError(
            "expected an OpenCV with windows, got one without (opencv-python-headless); pip "
            f"uninstall -y opencv-python-headless && pip install opencv-python, {_INSTEAD}"
        )
    if sys.platform != "linux":
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DependencyError(
            "expected a display for the window, but DISPLAY and WAYLAND_DISPLAY are not set; start "
            f"from a desktop session or with ssh -X, {_INSTEAD}"
        )
    # The variable may name a display that is gone or refuses us: let a child process find out.
    child = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True)
    if child.returncode:
        reason = " ".join(child.stderr.split())[:120] or f"exit code {child.returncode}"
        raise DependencyError(
            f"expected a display for the window, but OpenCV ({toolkit}) cannot open one: {reason}; "
            f"check DISPLAY={os.environ.get('DISPLAY', '')!r}, {_INSTEAD}"
        )
    if toolkit.startswith("QT"):
        _load_x11_xcb()


def _load_x11_xcb() -> None:
    """Have Qt use the system's libX11-xcb, not the one in OpenCV's wheels.

    That one is made for an older libX11 and writes to the wrong place in the system's, so Xlib goes
    on taking events away from Qt: one window in a few stays black, and keys and clicks get lost.
    """
    with suppress(OSError):  # a system without it
        ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)


def _gui_toolkit() -> str:
    """What OpenCV was built with: "QT5", "GTK3", "COCOA", "WIN32UI", ..., "NONE", "" if unsaid."""
    found = re.search(r"^ *GUI: *(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    return found[1] if found else ""
