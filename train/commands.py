"""What every command of training and measuring shares: errors in one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from sdk.application import EXIT_ERROR
from sdk.errors import GroundingError

P = ParamSpec("P")


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
