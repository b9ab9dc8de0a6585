"""What is beside the process that is watched: its camera, and the clients of its server."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from typing import Any

from benchmarks.server import different_frames, load
from benchmarks.soak.stream import Run, Soaked, soak
from sdk.errors import GroundingError
from tests.cameras import address, network_camera

START_SECONDS, HANG_SECONDS = 120.0, 1800.0


def run_beside(run: Run, clients: int, requests: int) -> tuple[Soaked, list[dict[str, Any]], int]:
    """One run. Raises GroundingError where the process does not answer.

    Returns:
        What came of it, what the clients saw in each round, how often the camera was lost.
    """
    pictures = different_frames(run.size_wh)
    # Each connection ends after so many; the last one has what is left.
    frames = run.frames // (run.changes.losses + 1) + 1
    context = multiprocessing.get_context("spawn")
    lost = threading.Semaphore(0)
    with network_camera(
        frames, lost.release, lambda number: pictures[number % len(pictures)], run.fps
    ) as camera:
        ours, theirs = context.Pipe()
        process = context.Process(target=soak, args=(run, address(camera), theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            server = _received(ours, START_SECONDS)
            over = threading.Event()
            rounds: list[dict[str, Any]] = []
            asking = threading.Thread(
                target=_ask,
                args=(
                    server,
                    pictures,
                    clients,
                    requests // run.changes.losses,
                    lost,
                    over,
                    rounds,
                ),
            )
            asking.start()
            _received(ours, HANG_SECONDS)
            losses = camera.connections - 1
            over.set()
            lost.release()
            asking.join()
            ours.send(None)
            soaked = _received(ours, START_SECONDS)
        finally:
            process.kill()
            process.join()
    return soaked, rounds, losses


def _ask(
    server: str,
    pictures: Sequence[bytes],
    clients: int,
    requests: int,
    lost: threading.Semaphore,
    over: threading.Event,
    rounds: list[dict[str, Any]],
) -> None:
    """A round of requests each time that the camera is lost."""
    while lost.acquire() and not over.is_set():
        rounds.append(load(server, pictures, clients, requests, HANG_SECONDS))


def _received(pipe: Any, seconds: float) -> Any:
    """Raises GroundingError."""
    if not pipe.poll(seconds):
        raise GroundingError(f"the process has not answered for {seconds:g} s")
    try:
        return pipe.recv()
    except EOFError:
        raise GroundingError("the process has died; it says above why") from None
