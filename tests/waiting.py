"""How long a test waits for what must come, and processes that are waited for so long."""

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

WAIT = 400.0  # seconds; only a failure takes so long, and a test has 600 (pyproject.toml)


def run_process(
    command: Sequence[object], wait: float = WAIT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, its output captured as text.

    Args:
        command: program and arguments.
        wait: seconds, at most.
        options: what else `subprocess.Popen` takes (cwd, env, ...).

    Raises:
        subprocess.TimeoutExpired: it took longer. It is killed, and all that it started.
    """
    pipe = subprocess.PIPE
    arguments = [str(part) for part in command]
    process = subprocess.Popen(
        arguments, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **options
    )
    try:
        output, errors = process.communicate(timeout=wait)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # a child of its own would keep the pipes open
        process.communicate()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
