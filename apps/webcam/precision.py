"""Loads the bundle at another precision while the one before goes on grounding."""

import argparse
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from sdk._internal.closing import Closing
from sdk.application import load_grounder
from sdk.errors import GroundingError
from sdk.grounder import Grounder


class PrecisionSwitch(Closing):
    """Goes round the precisions that the bundle carries, without those that do not run here."""

    def __init__(
        self, args: argparse.Namespace, grounder: Grounder, say: Callable[[str], None]
    ) -> None:
        """`args`: the options that `grounder` was loaded by. `say`: told what comes of it."""
        self._args, self._grounder, self._say = args, grounder, say
        self._names = list(grounder.manifest.precisions)
        self._pool = ThreadPoolExecutor(1, "grounder load")
        self._loading: Future[Grounder] | None = None

    @property
    def loading(self) -> bool:
        return self._loading is not None

    def start(self) -> None:
        """Begin to load the next one, unless one is being loaded."""
        if self._loading:
            return
        name = self._next()
        if name == self._grounder.info.precision:
            self._say(f"{name} is all that this bundle has for this device")
            return
        self._say(f"loading {name}")
        args = argparse.Namespace(**vars(self._args) | {"precision": name})
        self._loading = self._pool.submit(load_grounder, args)

    def take(self) -> Grounder | None:
        """What has been loaded, once. One that does not load is left out from then on, and the one
        after it is begun."""
        if not (self._loading and self._loading.done()):
            return None
        loading, self._loading = self._loading, None
        try:
            grounder = loading.result()
        except GroundingError as error:
            failed = self._next()
            self._names.remove(failed)
            self.start()
            self._say(f"{failed} does not run here: {error}")
            return None
        before, self._grounder = self._grounder, grounder
        self._say(_described(grounder, before))
        return grounder

    def close(self) -> None:
        self._pool.shutdown()

    def _next(self) -> str:
        at = self._names.index(self._grounder.info.precision)
        return self._names[(at + 1) % len(self._names)]


def _described(grounder: Grounder, before: Grounder) -> str:
    name = grounder.info.precision
    files = grounder.manifest.precisions
    if files[name] == files[before.info.precision]:
        return f"{name}: the same files as {before.info.precision} in this bundle"
    return f"{name}, on {grounder.info.device}"
