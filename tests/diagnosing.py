"""What tests of `grounder doctor` share: the command, asked in this process."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sdk.cli import main


def call(*arguments: object) -> int:
    return main(["doctor", *map(str, arguments)])


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Exit code, the JSON object, stderr."""

    def ask(*arguments: object) -> tuple[int, dict[str, Any], str]:
        code = call(*arguments, "--json")
        printed = capsys.readouterr()
        return code, json.loads(printed.out), printed.err

    return ask
