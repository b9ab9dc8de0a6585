"""What a transformer layer computes inside, for methods that read or change it.

Side networks and adapters work on the outputs of two sublayers, attention and feed-forward.
transformers does not return them; forward hooks do, with the model's own code left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn


class Sublayers(NamedTuple):
    """The modules of one transformer layer; both outputs are (B, N, C)."""

    attention: nn.Module
    ffn: nn.Module


def sublayers_of(net: nn.Module, layers: str, attention: str, ffn: str) -> list[Sublayers]:
    """Of every layer in `net`; the three names are where its layers are, and in a layer the two."""
    return [
        Sublayers(layer.get_submodule(attention), layer.get_submodule(ffn))
        for layer in net.get_submodule(layers).children()
    ]


class Recorder:
    """Keeps what the sublayers of an encoder gave in the latest pass."""

    def __init__(self, layers: Sequence[Sublayers]) -> None:
        self._outputs: dict[int, Tensor] = {}
        self._count = 2 * len(layers)
        for place, module in enumerate(module for layer in layers for module in layer):
            module.register_forward_hook(partial(self._keep, place))

    def _keep(self, place: int, module: nn.Module, args: Any, output: Any) -> None:
        # Attention modules return (output, weights).
        self._outputs[place] = output[0] if isinstance(output, tuple) else output

    def take(self) -> list[Tensor]:
        """Attention and feed-forward outputs, layer by layer; they are kept no longer."""
        taken = [self._outputs[place] for place in range(self._count)]
        self._outputs.clear()
        return taken
