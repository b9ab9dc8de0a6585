"""What every fusion is, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

T = TypeVar("T", bound="Tensors")


@dataclass(frozen=True)
class Tensors:
    """Fields are tensors, or `Tensors`."""

    def float(self: T) -> T:
        """All of them in float32."""
        return replace(self, **{f.name: getattr(self, f.name).float() for f in fields(self)})


@dataclass(frozen=True)
class Answers(Tensors):
    """The candidates of P phrases: C boxes each."""

    boxes: Tensor
    """(P, C, 4) cxcywh, fractions of the network input."""
    logits: Tensor
    """(P, C): the one that is meant."""


class Fusion(nn.Module):
    """Joins prepared visual tokens (1|P, N, Dv) and text tokens (P, L, D) to `Answers`.

    `fusion(visual, text, text_mask)`: the mask (P, L) is True for words.
    """

    activation_checkpointing = False
    """Compute the layers over visual tokens again in the backward pass."""
    centers: Tensor | None
    """(N, 2): the places that candidates answer for, see `losses.positive_cells`; None if any."""
    __call__: Callable[..., Answers]

    def run(self, layer: Callable[..., Any], *inputs: Any) -> Any:
        """`layer(*inputs)`; with `activation_checkpointing` its activations are not kept.

        They are computed again for the backward pass (Chen et al., arXiv:1604.06174): less memory
        for more time. Gradients are the same, dropout included.
        """
        if self.activation_checkpointing:
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)

    def prepare(self, visual: Tensor) -> Tensor:
        """Visual tokens (B, N, D) -> what the fusion reads of them, as far as no phrase matters."""
        return visual
