"""The papers' sizes with random weights, for counting parameters and measuring costs.

M2IST and UniPT sit on DETR's encoder on ResNet-50 at 640 px and BERT-base; MaPPER on DINOv2-B/14 at
518 px, BERT-base and CLIP's text tower as the prior. Fusion and head are TransVG's.
"""

from __future__ import annotations

import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    DetrConfig,
    DetrModel,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
)

from sdk.bundle.prior import BYTES, END_OF_WORD, BytePairs, PriorTokenizer
from train.build import DEFAULT_VOCAB, assemble, read_vocab
from train.config import TrainConfig
from train.encoders.text import TransformersText
from train.encoders.transformer import DetrEncoder, TransformerVision, ViT
from train.encoders.vision import frozen
from train.fusion import TRANSVG
from train.methods import reads_sublayers
from train.methods.mapper.prior import ClipPrior
from train.model import GroundingModel

DETR_CASES = (
    *("full", "m2ist", "m2ist recompute"),
    *("unipt", "head_only", "lora", "adapter"),
)
DINOV2_CASES = ("full dinov2", "mapper")
CASES = dict.fromkeys(DETR_CASES, "full") | dict.fromkeys(DINOV2_CASES, "full dinov2")
"""Case -> the case that trains the same encoders whole; the first word is the method.

"recompute" computes the fusion's layers again in the backward pass.
"""


def detr_encoder(*, sublayers: bool = False) -> DetrEncoder:
    """DETR's encoder on ResNet-50: width 256, six layers."""
    backbone = ResNetConfig(out_features=["stage4"])
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone_config=backbone
    )
    return DetrEncoder(DetrModel(config), sublayers=sublayers)


def dinov2_base() -> ViT:
    """DINOv2-B/14, class token kept, as MaPPER uses it."""
    return ViT(Dinov2Model(Dinov2Config(image_size=518, patch_size=14)), keep_cls=True)


def bert_base(*, sublayers: bool = False) -> TransformersText:
    """BERT-base."""
    return TransformersText(BertModel(BertConfig()), sublayers=sublayers)


def clip_prior() -> ClipPrior:
    """CLIP ViT-B/16's text tower with a tokenizer that knows bytes alone, no merges."""
    config = CLIPTextConfig()
    tokens = [*BYTES, *(byte + END_OF_WORD for byte in BYTES)]
    vocab = {token: index for index, token in enumerate(tokens)}
    pairs = BytePairs(vocab, {}, len(tokens), len(tokens) + 1, config.max_position_embeddings)
    return ClipPrior(
        CLIPTextModelWithProjection(config), PriorTokenizer(pairs, read_vocab(DEFAULT_VOCAB))
    )


def paper_config(case: str) -> TrainConfig:
    """The settings of a case; encoders are built apart."""
    return TrainConfig(
        method=case.split(" ")[0],
        fusion=TRANSVG,
        dim=256,
        bottleneck=128,
        activation_checkpointing="recompute" in case,
        image_size=518 if case in DINOV2_CASES else 640,
    )


def paper_model(case: str) -> GroundingModel:
    """The whole model of a case."""
    config = paper_config(case)
    torch.manual_seed(config.seed)
    sublayers = reads_sublayers(config.method, vision_is_compact=False)
    vision: TransformerVision = (
        dinov2_base() if case in DINOV2_CASES else detr_encoder(sublayers=sublayers)
    )
    text = bert_base(sublayers=sublayers)
    if not config.trains_vision:
        frozen(vision)
        frozen(text)
    prior = clip_prior() if config.method == "mapper" else None
    return assemble(config, vision, text, prior)
