"""A grounding model: two encoders, the method that joins them, the fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sdk.bundle.contract import COLOURS, DETECTIONS
from train.encoders.esnet import SecondNeck
from train.encoders.vision import CompactVision
from train.fusion.base import Answers, Fusion
from train.fusion.candidates import CandidatesFusion, Comparison, ComparisonWithLevels
from train.fusion.detections import DetectionHead, LevelOutputs

if TYPE_CHECKING:
    from train.methods import Method, Text, Vision


class GroundingModel(nn.Module):
    """`encode_vision(image)`, `encode_text(tokens)`, `fuse(visual, text)`: the three graphs.

    Nothing that `encode_vision` computes depends on the phrase; what a fusion can do without one
    (`prepare`) is part of it.

    Args:
        visual_tokens: N, what the vision encoder gives for the image size of the run.
        dim: D, the width of the fusion.
        detector: reads the encoder's neck; its detections are appended to the visual tokens, and
            colours behind them. Text tokens then have the colours that they name behind them.
        second_neck: trains beside the encoder's own neck, whose p4 and p5 it replaces as taps.
    """

    def __init__(
        self,
        vision: Vision,
        text: Text,
        method: Method,
        fusion: Fusion,
        visual_tokens: int,
        dim: int,
        detector: DetectionHead | None = None,
        second_neck: SecondNeck | None = None,
    ) -> None:
        super().__init__()
        self.vision, self.text, self.method = vision, text, method
        self.detector, self.second_neck = detector, second_neck
        self.dim = dim
        width = fusion.scene_dim if isinstance(fusion, CandidatesFusion) else dim
        if detector is not None:
            width += DETECTIONS + COLOURS
        self.visual_shape = (visual_tokens, width)
        self.text_width = dim if text.colour_words is None else dim + COLOURS
        self.fusion = fusion
        self.eval()

    def train(self, mode: bool = True) -> GroundingModel:
        """Training or evaluation mode of what was added; the encoders themselves stay as they are.

        Dropout and batch statistics of pretrained encoders are never on, as their taps are kept.
        """
        super().train(False)
        self.training = mode
        set_mode(self.method, mode)
        set_mode(self.fusion, mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and module.weight.requires_grad:
                module.train(mode)
        return self

    def encode_vision(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> visual tokens (B, N, Dv)."""
        return self.join_vision(self.vision.features(image))

    def join_vision(self, features: Sequence[Tensor]) -> Tensor:
        """Kept feature maps -> visual tokens (B, N, Dv): the trained part of `encode_vision`."""
        seen, _ = self.see(features)
        return torch.cat([self.fusion.prepare(self.join_taps(features)), *seen], -1)

    def see(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[LevelOutputs]]:
        """Detections (B, N, DETECTIONS) and colours (B, N, COLOURS), and the levels that the
        detections are made of; nothing without a detector."""
        if self.detector is None:
            return [], []
        levels = self.detector.predict_levels(CompactVision.neck(features))
        return [self.detector.by_cells(levels), CompactVision.colours(features)], levels

    def join_taps(self, features: Sequence[Tensor]) -> Tensor:
        """What the method makes of feature maps: (B, N, D)."""
        features = list(features)
        if self.second_neck is not None:
            _, c4, c5, p3, *_ = features
            features[4:6] = self.second_neck(c4, c5, p3)
        return self.method.encode_vision(self.vision.taps(features))

    def encode_text(
        self, input_ids: Tensor, attention_mask: Tensor, *prior_inputs: Tensor
    ) -> Tensor:
        """(P, L) ids and mask -> text tokens (P, L, Dt); the others of `sdk.bundle.prior`."""
        taps = self.text.taps(input_ids, attention_mask, *prior_inputs)
        return self.join_text(taps, input_ids, attention_mask)

    def join_text(
        self, taps: Sequence[Tensor], input_ids: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """Kept taps and the ids they are of -> text tokens (P, L, Dt)."""
        tokens = self.method.encode_text(taps, attention_mask.bool())
        if self.text.colour_words is None:
            return tokens
        return torch.cat([tokens, self.text.colour_words.named(input_ids).to(tokens.dtype)], -1)

    def fuse(self, visual: Tensor, text: Tensor, attention_mask: Tensor) -> Answers:
        """Visual tokens (1 or P, N, Dv), text tokens (P, L, Dt) -> the fusion's answers."""
        return self.fusion(visual, text, attention_mask.bool())

    def forward(
        self,
        photos: Tensor | Sequence[Tensor],
        photo_of: Tensor,
        text: Tensor | Sequence[Tensor],
        mask: Tensor,
        fast_math: bool = False,
    ) -> Answers:
        """A training step's forward pass: the fusion's answers in float32.

        Args:
            photos: images (B, 3, H, W), or their kept features.
            photo_of: (P,) index into the photos.
            text: (P, L) ids, or kept taps with the ids behind them. mask: (P, L), 1 = token.
            fast_math: run in bfloat16; on a CPU all but the vision encoder and the detector, whose
                depthwise convolutions have no fast backward pass in it.
        """
        device = mask.device.type
        with torch.autocast(device, torch.bfloat16, enabled=fast_math and device != "cpu"):
            features = self.vision.features(photos) if isinstance(photos, Tensor) else photos
            visual, (seen, levels) = self.join_taps(features), self.see(features)
        with torch.autocast(device, torch.bfloat16, enabled=fast_math):
            parts = [part[photo_of] for part in (self.fusion.prepare(visual), *seen)]
            *taps, ids = [*self.text.taps(text, mask), text] if isinstance(text, Tensor) else text
            tokens = self.join_text(taps, ids, mask)
            joined = parts if seen else parts[0]
            answers = self.fusion(joined, tokens, mask.bool())
        answers = answers.float()
        if self.training and isinstance(answers, Comparison) and self.detector_trains:
            levels = [LevelOutputs(*(part.float() for part in level)) for level in levels]
            return ComparisonWithLevels(**vars(answers), levels=levels)
        return answers

    @property
    def detector_trains(self) -> bool:
        """Whether there is a detector, and not a frozen one."""
        return self.detector is not None and next(self.detector.parameters()).requires_grad

    def adapter_params(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of everything that trains."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def adapter_state(self) -> dict[str, Tensor]:
        """What a checkpoint holds: parameters that train, statistics of batch norms that do."""
        state: dict[str, Tensor] = dict(self.adapter_params())
        for name, module in self.named_modules():
            if isinstance(module, _BatchNorm) and module.weight.requires_grad:
                for statistic in ("running_mean", "running_var"):
                    state[f"{name}.{statistic}"] = module.get_buffer(statistic)
        return state


def set_mode(module: nn.Module, mode: bool) -> None:
    """Training or evaluation mode; a part that is frozen as a whole stays in evaluation mode."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    module.training = mode
    for child in module.children():
        set_mode(child, mode)
