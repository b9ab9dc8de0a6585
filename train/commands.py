"""What every command of training and measuring shares: one-line errors, processes of their own."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from sdk.application import EXIT_ERROR
from sdk.errors import GroundingError

P = ParamSpec("P")
T = TypeVar("T")


def report_errors(
    *kinds: type[Exception],
) -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """Make a command print a `GroundingError`, or one of `kinds`, as one line on stderr.

    Args:
        kinds: what else a user can mend, as OSError.

    Returns:
        A decorator of a function; what it makes returns the exit code, 0 where the function
        returns none.
    """
    caught: tuple[type[Exception], ...] = (GroundingError, *kinds)

    def decorate(main: Callable[P, int | None]) -> Callable[P, int]:
        @functools.wraps(main)
        def command(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs) or 0
            except caught as error:
                print(f"error: {error}", file=sys.stderr)
                return EXIT_ERROR

        return command

    return decorate


def in_own_process(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a call gives in a new process, whose peak memory is its own.

    Raises:
        RuntimeError: the process was killed. What the call raises, too.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call, *args, **kwargs).result()
