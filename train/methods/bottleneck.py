"""Bottleneck adapters (Houlsby et al., arXiv:1902.00751) after the sublayers of both encoders."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from train.encoders.text import TransformersText
from train.encoders.transformer import TransformerVision
from train.encoders.vision import CompactVision


class BottleneckAdapter(nn.Module):
    """x + U ReLU(W x) over the last axis; U starts at zero, so it starts as the identity."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, bottleneck), nn.Linear(bottleneck, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(F.relu(self.down(x)))


def adapt_output(adapter: BottleneckAdapter, module: nn.Module, args: Any, output: Any) -> Any:
    """A forward hook: tokens or a map through the adapter."""
    if isinstance(output, tuple):  # attention modules return (output, weights)
        return (adapter(output[0]), *output[1:])
    if output.dim() == 4:
        return adapter(output.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return adapter(output)


def add_adapters(
    encoder: CompactVision | TransformerVision | TransformersText, bottleneck: int
) -> None:
    """An adapter after each sublayer, or after each stage of a convolutional encoder."""
    if isinstance(encoder, CompactVision):
        places = encoder.stages
    else:
        width = encoder.tap_channels[-1]
        places = [(module, width) for layer in encoder.layers for module in layer]
    encoder.requires_grad_(False)
    adapters = [BottleneckAdapter(channels, bottleneck) for _, channels in places]
    encoder.adapters = nn.ModuleList(adapters)
    for adapter, (module, _) in zip(adapters, places, strict=True):
        module.register_forward_hook(partial(adapt_output, adapter))
