"""LoRA (Hu et al., arXiv:2106.09685) inside both encoders, by `peft`; folded in before export."""

from __future__ import annotations

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from train.encoders.text import TransformersText
from train.encoders.transformer import TransformerVision
from train.encoders.vision import CompactVision

RANK, ALPHA = 8, 16
ATTENTION = ("query", "value", "q_proj", "v_proj")
"""The projections that the paper adapts, as transformers names them."""


def add_lora(encoder: CompactVision | TransformerVision | TransformersText) -> None:
    """Adapt queries and values, or a convolutional encoder's 1x1 convolutions over all channels."""
    if isinstance(encoder, CompactVision):
        modules = encoder.net.named_modules()
        names = [n for n, m in modules if isinstance(m, nn.Conv2d) and is_pointwise(m)]
    else:
        names = list(ATTENTION)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=names)
    inject_adapter_in_model(config, encoder.net)


def is_pointwise(conv: nn.Conv2d) -> bool:
    """A 1x1 convolution that mixes all channels; gates of squeeze-and-excitation are as narrow."""
    return (
        conv.kernel_size == (1, 1) and conv.groups == 1 and min(conv.weight.shape[:2]) >= 2 * RANK
    )


def fold_lora(model: nn.Module) -> None:
    """Add every low-rank product to the weight it adapts and take the adapter away: exact."""
    for owner in list(model.modules()):
        for name, module in list(owner.named_children()):
            if isinstance(module, BaseTunerLayer):
                module.merge()
                setattr(owner, name, module.get_base_layer())
