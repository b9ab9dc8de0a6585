"""TensorRT's objects are released where they fail, and not later by the garbage collector."""

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def releasing(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, whose exceptions keep no TensorRT object of its local variables alive.

    An exception refers to the frames that it left, and is often part of a reference cycle: a
    builder in such a frame is released whenever Python collects garbage. That may be in the logger,
    which TensorRT calls with a lock held that the release waits for: the process would stand still.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _clear_frames(error)
            raise
        finally:
            del args, kwargs  # this frame is one of the exception's, too

    return called


def _clear_frames(error: BaseException) -> None:
    """Forget the local variables of the frames of an exception, and of those it came from."""
    left: BaseException | None = error
    while left is not None:
        traceback.clear_frames(left.__traceback__)
        left = left.__cause__ or left.__context__
