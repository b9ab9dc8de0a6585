"""Vision transformers from transformers: DINOv2, CLIP, SigLIP, and DETR's encoder on a ResNet-50.

Their taps are the outputs of their layers, the last one through the final norm where there is one;
with `sublayers` the input tokens, each layer's attention and feed-forward output before the
residual, and the last output: 2 L + 2 tensors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel, DetrModel, Dinov2Model, PreTrainedModel, SiglipVisionModel
from transformers.utils.constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

from train.encoders.pretrained import load_strictly, read_config
from train.encoders.sublayers import Recorder, Sublayers, sublayers_of

STATISTICS = {
    "dinov2": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "detr": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "clip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "siglip": (IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD),
}
"""Model type -> mean and standard deviation of its pixels, RGB, 0-1."""


class TransformerVision(nn.Module):
    """What the two kinds below share: taps are their own kept features."""

    cls_tokens = 0
    """Class tokens in front of the patches, in taps and features."""
    outputs = 1
    """The last tap is the encoder's output."""
    stride: int

    def __init__(self, net: PreTrainedModel, width: int, *, sublayers: bool) -> None:
        super().__init__()
        self.net = net
        count = 2 * len(self.layers) + 2 if sublayers else len(self.layers)
        self.tap_channels = [width] * count
        self._recorder = Recorder(self.layers) if sublayers else None

    @property
    def layers(self) -> list[Sublayers]:
        """The two sublayers of each layer."""
        raise NotImplementedError

    @property
    def multiple(self) -> int:
        """What image sizes must be a multiple of."""
        return self.stride

    def features(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised RGB -> taps, each (B, N, C)."""
        hidden, last = self.run(image)
        if self._recorder is None:
            return [*hidden[1:-1], last]
        return [hidden[0], *self._recorder.take(), last]

    def taps(self, features: list[Tensor]) -> list[Tensor]:
        """Features are taps already."""
        return features

    def run(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Input and output of every layer, and the last output through the final norm."""
        raise NotImplementedError


class ViT(TransformerVision):
    """DINOv2, CLIP or SigLIP; any image size of whole patches.

    Args:
        keep_cls: keep the class token, where there is one, in front of the patches.
    """

    def __init__(
        self, net: PreTrainedModel, *, sublayers: bool = False, keep_cls: bool = False
    ) -> None:
        self.kind = net.config.model_type.removesuffix("_vision_model")
        super().__init__(net, net.config.hidden_size, sublayers=sublayers)
        self.stride = net.config.patch_size
        self.inner_cls_tokens = int(self.kind != "siglip")  # inside the encoder
        self.cls_tokens = self.inner_cls_tokens if keep_cls else 0
        # What taps never pass through is left out, or never trains.
        if self.kind == "clip":
            net.get_submodule("vision_model.post_layernorm").requires_grad_(False)
        elif isinstance(net, SiglipVisionModel):
            net.vision_model.use_head = False
            net.vision_model.register_module("head", None)
        elif net.config.use_mask_token:
            net.get_parameter("embeddings.mask_token").requires_grad_(False)

    @property
    def layers(self) -> list[Sublayers]:
        if self.kind == "dinov2":
            return sublayers_of(self.net, "encoder.layer", "attention", "mlp")
        return sublayers_of(self.net, "vision_model.encoder.layers", "self_attn", "mlp")

    def features(self, image: Tensor) -> list[Tensor]:
        return [
            tap[:, self.inner_cls_tokens - self.cls_tokens :] for tap in super().features(image)
        ]

    def run(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        options = {} if self.kind == "dinov2" else {"interpolate_pos_encoding": True}
        out = self.net(image, output_hidden_states=True, **options)
        return list(out.hidden_states), out.last_hidden_state


class DetrEncoder(TransformerVision):
    """ResNet and transformer encoder of DETR (Carion et al., arXiv:2005.12872), no decoder."""

    stride = 32
    net: DetrModel

    def __init__(self, net: DetrModel, *, sublayers: bool = False) -> None:
        super().__init__(net, net.config.d_model, sublayers=sublayers)
        unfreeze_stages(net)
        net.register_module("decoder", None)
        net.register_module("query_position_embeddings", None)

    @property
    def layers(self) -> list[Sublayers]:
        return sublayers_of(self.net, "encoder.layers", "self_attn", "fc2")

    def run(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        tokens, positions = embed(self.net, image)
        out = self.net.encoder(
            inputs_embeds=tokens, object_queries=positions, output_hidden_states=True
        )
        return list(out.hidden_states), out.last_hidden_state


class DetrBackbone(nn.Module):
    """DETR up to its encoder, which a joint network takes over: one tap, the encoder's input."""

    stride = multiple = DetrEncoder.stride
    cls_tokens = 0
    outputs = 1

    def __init__(self, net: DetrModel) -> None:
        super().__init__()
        unfreeze_stages(net)
        self.net = net
        self.tap_channels = [net.config.d_model]

    def features(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised RGB -> [(B, N, C)]."""
        return [embed(self.net, image)[0]]

    def taps(self, features: list[Tensor]) -> list[Tensor]:
        """Features are taps already."""
        return features

    def hand_over(self, image_size: int) -> tuple[nn.Module, nn.Module, nn.Embedding, Tensor]:
        """Encoder, decoder and queries, which leave this module, and the positions (N, C)."""
        with torch.no_grad():
            positions = embed(self.net, torch.zeros(1, 3, image_size, image_size))[1][0]
        parts = (self.net.encoder, self.net.decoder, self.net.query_position_embeddings)
        for name in ("encoder", "decoder", "query_position_embeddings"):
            self.net.register_module(name, None)
        return (*parts, positions)


def unfreeze_stages(net: DetrModel) -> None:
    """Lets the ResNet's stages 2-4 learn, as DETR and TransVG do; stem and first stage stay frozen.

    transformers means the same but asks for "stage.1" where the name is "stages.1", which freezes
    the whole ResNet.
    """
    for name, parameter in net.backbone.named_parameters():
        if any(f"encoder.stages.{stage}." in name for stage in (1, 2, 3)):
            parameter.requires_grad_(True)


def embed(net: DetrModel, image: Tensor) -> tuple[Tensor, Tensor]:
    """What DETR's encoder takes: tokens and their sine positions, both (B, N, C)."""
    # The frame fills the square: nothing is masked.
    everywhere = torch.ones_like(image[:, 0], dtype=torch.long)
    maps, positions = net.backbone(image, everywhere)
    tokens = net.input_projection(maps[-1][0])
    return tokens.flatten(2).transpose(1, 2), positions[-1].flatten(2).transpose(1, 2)


def vision_kind(source: str | Path) -> str:
    """The type of the model in a folder or on the hub: a key of `STATISTICS`.

    Raises:
        ValueError: another kind of model.
        OSError: from transformers, when the files or the hub cannot be reached.
    """
    kind: str = read_config(source).model_type.removesuffix("_vision_model")
    if kind not in STATISTICS:
        known = ", ".join(STATISTICS)
        raise ValueError(f"--vision: expected a model of type {known}, got {kind} from {source}")
    return kind


def load_transformer(
    source: str | Path, *, sublayers: bool = False, keep_cls: bool = False
) -> TransformerVision:
    """A vision transformer from a folder with `config.json` and weights, or a name on the hub.

    Raises:
        ValueError: another kind of model, or weights missing from the files.
        OSError: from transformers, when the files or the hub cannot be reached.
    """
    kind = vision_kind(source)
    if kind == "detr":
        unused = lambda key: key.startswith(("decoder.", "query_position_embeddings."))  # noqa: E731
        return DetrEncoder(load_strictly(DetrModel, source, unused), sublayers=sublayers)
    classes: dict[str, type[PreTrainedModel]]
    classes = {"dinov2": Dinov2Model, "clip": CLIPVisionModel, "siglip": SiglipVisionModel}
    net = load_strictly(
        classes[kind], source, lambda key: ".head." in key, attn_implementation="sdpa"
    )
    return ViT(net, sublayers=sublayers, keep_cls=keep_cls)


def load_detr_backbone(source: str | Path) -> DetrBackbone:
    """The part of a whole DETR that comes before its encoder; the rest is there to hand over.

    Raises:
        ValueError: another kind of model, or weights missing from the files.
        OSError: from transformers, when the files or the hub cannot be reached.
    """
    kind = vision_kind(source)
    if kind != "detr":
        raise ValueError(f"--vision: unipt_joint needs a DETR, got {kind} from {source}")
    return DetrBackbone(load_strictly(DetrModel, source, lambda key: False))
