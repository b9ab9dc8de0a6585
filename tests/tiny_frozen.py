"""Two frozen transformers to put adapters into, and random values for what is put in."""

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, Dinov2Config, Dinov2Model

from train.encoders.text import TransformersText
from train.encoders.vision import frozen

LAYERS = 6
PIXELS = 56
"""Side of the image that `frozen_dinov2` takes: 4 x 4 patches."""


def frozen_dinov2() -> Dinov2Model:
    """Wide enough for LoCA's narrowest layer to have three channels."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        image_size=PIXELS,
        patch_size=14,
        layerscale_value=0.7,
        attn_implementation="eager",
    )
    return frozen(Dinov2Model(config))


def frozen_bert() -> TransformersText:
    """16 wide."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=32,
        attn_implementation="eager",
    )
    return frozen(TransformersText(BertModel(config)))


def two_phrases() -> tuple[Tensor, Tensor]:
    """Ids and mask (P, L), the second phrase padded."""
    ids = torch.tensor([[2, 9, 10, 11, 12, 3], [2, 13, 14, 3, 0, 0]])
    return ids, (ids != 0).long()


@torch.no_grad()
def randomised(module: nn.Module) -> nn.Module:
    """No layer or norm is left at its start; variances are small enough to show another eps."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.normal_(0, 0.3, generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.005, 0.02, generator=generator)
    return module.requires_grad_(False).eval()
