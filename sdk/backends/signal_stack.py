"""Where a thread handles signals, kept as it was."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (
        ("ss_sp", ctypes.c_void_p),
        ("ss_flags", ctypes.c_int),
        ("ss_size", ctypes.c_size_t),
    )


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Undo what a library does to this thread's alternate signal stack (sigaltstack(2)).

    OpenVINO gives the thread that first compiles a graph a stack of its own, and frees it in
    whatever thread lets go of the last one. Python handles signals on that stack: Ctrl-C would end
    the process with a segmentation fault.
    """
    if sys.platform != "linux":
        yield
        return
    change = ctypes.CDLL(None).sigaltstack
    before = _Stack()
    change(None, ctypes.byref(before))
    try:
        yield
    finally:
        change(ctypes.byref(before), None)
