"""Transformer encoders as transformers saves them, tiny, with random weights."""

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    DetrConfig,
    DetrModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    ResNetConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
)

LAYERS, WIDTH = 3, 16
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
IMAGES = {"image_size": 32, "patch_size": 8}


def tiny_net(kind: str, **sizes: int) -> PreTrainedModel:
    """A model with random weights everywhere: no norm, bias or scale is left at its start.

    `sizes` override BERT's.
    """
    if kind == "dinov2":
        net = Dinov2Model(Dinov2Config(**SIZES, **IMAGES, mlp_ratio=2))
    elif kind == "clip":
        net = CLIPVisionModel(CLIPVisionConfig(**SIZES, **IMAGES, intermediate_size=32))
    elif kind == "siglip":
        net = SiglipVisionModel(SiglipVisionConfig(**SIZES, **IMAGES, intermediate_size=32))
    elif kind == "detr":
        backbone = ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 8, 8, 8],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage4"],
        )
        config = DetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone_config=backbone,
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_queries=3,
        )
        net = DetrModel(config)
    else:
        net = BertModel(BertConfig(**(SIZES | sizes), vocab_size=30, intermediate_size=32))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return net.eval()


def random_image(kind: str, cells: int) -> Tensor:
    side = cells * (32 if kind == "detr" else 8)
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
