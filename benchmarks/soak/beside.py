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

ROUNDS = 50
"""In which the clients ask, with a pause after each."""
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
    with network_camera(frames, jpeg=lambda n: pictures[n % len(pictures)], fps=run.fps) as camera:
        ours, theirs = context.Pipe()
        process = context.Process(target=soak, args=(run, address(camera), theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            server = _received(ours, START_SECONDS)
            over = threading.Event()
            rounds: list[dict[str, Any]] = []
            asking = threading.Thread(
                target=_ask, args=(server, pictures, clients, requests, run, over, rounds)
            )
            asking.start()
            _received(ours, HANG_SECONDS)
            lost = camera.connections - 1
            over.set()
            asking.join()
            ours.send(None)
            soaked = _received(ours, START_SECONDS)
        finally:
            process.kill()
            process.join()
    return soaked, rounds, lost


def _ask(
    server: str,
    pictures: Sequence[bytes],
    clients: int,
    requests: int,
    run: Run,
    over: threading.Event,
    rounds: list[dict[str, Any]],
) -> None:
    """Rounds of requests, spread over the time that the frames take at least."""
    pause = run.frames / run.fps / ROUNDS
    while len(rounds) < ROUNDS and not over.is_set():
        rounds.append(load(server, pictures, clients, requests // ROUNDS, HANG_SECONDS))
        over.wait(max(0.0, pause - rounds[-1]["seconds"]))


def _received(pipe: Any, seconds: float) -> Any:
    """Raises GroundingError."""
    if not pipe.poll(seconds):
        raise GroundingError(f"the process has not answered for {seconds:g} s")
    try:
        return pipe.recv()
    except EOFError:
        raise GroundingError("the process has died; it says above why") from None
