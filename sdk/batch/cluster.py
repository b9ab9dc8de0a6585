"""Worker processes on this machine, by Dask: one that dies is replaced, what it did is done again.

Each worker has one part at a time, and another one only when it has finished it. So a death is held
against the part that was under way and no other.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from sdk.errors import DependencyError

Item = TypeVar("Item")
ATTEMPTS = 3
"""Workers that an item may kill before it is given up."""


class Done(NamedTuple):
    """An item that a worker is done with."""

    item: Any
    result: Any
    """What the function gave; None when every worker that tried it died."""


def require_dask() -> None:
    """Raises DependencyError where a package of the extra is missing."""
    try:
        for name in ("distributed", "cryptography", "filelock"):
            import_module(name)
    except ImportError as error:
        raise DependencyError(
            f"grounder batch needs a package that does not import: {error}. Fix: pip install "
            "distributed cryptography pyarrow filelock (the extra `offline`)"
        ) from error


def run_lanes(
    lanes: Sequence[Sequence[Item]],
    function: Callable[[Item], object],
    workers: int,
    preload: str | None = None,
) -> Iterator[Done]:
    """Apply `function` to all items in `workers` processes; what is done first comes first.

    A lane's items are done one after the other, in their order. `preload`: a module for each
    process to import, with a function `dask_setup`. Raises what `function` raises.
    """
    distributed: Any = import_module("distributed")
    waiting = deque(deque(lane) for lane in lanes)
    with (
        import_module("dask").config.set({"distributed.scheduler.allowed-failures": ATTEMPTS - 1}),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            # Its own page is served all the same; on any free port, so that runs do not meet.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            memory_limit=None,  # else Dask ends a worker that is near its share of the memory
            security=True,  # else whoever is on this machine could have code run by the workers
            silence_logs=logging.CRITICAL,
            preload=[preload] if preload else [],
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        running = distributed.as_completed()
        lane_of: dict[str, tuple[Item, deque[Item]]] = {}

        def start(lane: deque[Item]) -> None:
            item = lane.popleft()
            # Not bound to the worker of the item before: were that the only one and died, Dask
            # would leave the item to wait for it for ever.
            future = client.submit(function, item, pure=False)
            lane_of[future.key] = item, lane
            running.add(future)

        while waiting and len(lane_of) < workers:
            start(waiting.popleft())
        for future in running:
            item, lane = lane_of.pop(future.key)
            result = None
            with suppress(distributed.KilledWorker):
                result = future.result()
            future.release()
            yield Done(item, result)
            if lane:
                start(lane)
            elif waiting:
                start(waiting.popleft())
